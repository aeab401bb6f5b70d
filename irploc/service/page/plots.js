// The script that draws plots: large, so it is fetched when the first plot is looked at.

let loading = null;

/** Waits until Plotly is there; asks once more where it could not be had. */
export function plots() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.addEventListener("load", resolve);
    script.addEventListener("error", () => {
      loading = null;
      script.remove();
      reject(new Error("The script that draws this view did not arrive; open the view again."));
    });
    script.src = new URL("assets/plotly.min.js", document.baseURI);
    document.head.append(script);
  });
  return loading;
}
