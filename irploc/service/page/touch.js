// Fingers and wheels on a plot. Left alone, plots take every swipe and turn of the wheel, and a page that is mostly plot
// cannot be scrolled.

const APART_PX = 12; // of two fingers that lie side by side
const SCROLLING = new Set(["auto", "scroll"]);

/** One finger scrolls the page, or where the plot `turns` and the finger goes sideways, turns it. Two fingers come nearer:
 *  `pinch` gets nothing at their start and gives what then takes how many times farther the view reaches, and both middles. */
export function onFingers(plot, turns, pinch) {
  let start = null; // where the only finger was put down
  let turning = false;
  let pinching = null;
  const decide = ({ clientX, clientY }) => {
    if (start) turning = turns && Math.abs(clientX - start.clientX) > Math.abs(clientY - start.clientY);
    start = null;
  };
  plot.addEventListener("touchstart", (event) => {
    start = event.touches.length === 1 ? event.touches[0] : null;
    if (start) turning = false;
    pinching = event.touches.length === 2 ? { ...spread(plot, event.touches), move: pinch() } : null;
    if (!turns || !start) event.stopPropagation();
  }, { capture: true, passive: true });
  plot.addEventListener("touchmove", (event) => {
    if (pinching) {
      const { apart, middle } = spread(plot, event.touches);
      if (event.cancelable) event.preventDefault(); // not while the page scrolls on by itself
      pinching.move(pinching.apart / apart, pinching.middle, middle);
    }
    decide(event.touches[0]);
    if (!turning || event.touches.length > 1 || !event.cancelable) event.stopPropagation();
  }, { capture: true, passive: false });
  for (const name of ["touchend", "touchcancel"]) plot.addEventListener(name, () => { pinching = null; }, { capture: true });
}

/** A wheel over the plot scrolls what there is to scroll; it comes nearer where there is nothing, or with Ctrl. */
export function onWheel(plot) {
  plot.addEventListener("wheel", (event) => { if (!event.ctrlKey && canScroll(plot)) event.stopPropagation(); }, { capture: true, passive: true });
}

/** Whether the page is higher than its window, or something around an element than its frame. */
export function canScroll(element) {
  for (let around = element; around; around = around.parentElement) {
    const isRoot = around === document.documentElement;
    if (around.scrollHeight > around.clientHeight + 1 && (isRoot || SCROLLING.has(getComputedStyle(around).overflowY))) return true;
  }
  return false;
}

function spread(plot, [one, other]) {
  const { left, top } = plot.getBoundingClientRect();
  return {
    apart: Math.max(Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY), APART_PX),
    middle: [(one.clientX + other.clientX) / 2 - left, (one.clientY + other.clientY) / 2 - top],
  };
}
