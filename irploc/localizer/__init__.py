"""``Localizer``: photo in, pose out. Loads everything once; the command line and the service both use it."""

from irploc.localizer.localization import Localization
from irploc.localizer.localizer import Answer, Localizer, Served
from irploc.localizer.opening import encoder_of

__all__ = ["Answer", "Localization", "Localizer", "Served", "encoder_of"]
