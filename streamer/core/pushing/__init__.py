"""Records of ``surveys.profiles`` and ``surveys.triggers`` -> calls of the survey platforms' own APIs.

`new_mapper` is the way in: `PUSHES` has what is pushed, `APIS` where to.
"""

from streamer.core.pushing.apis import APIS
from streamer.core.pushing.pushes import PUSHES, new_mapper

__all__ = ["APIS", "PUSHES", "new_mapper"]
