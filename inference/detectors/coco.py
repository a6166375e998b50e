"""The class names of COCO (Lin et al., 2014).

Most detectors number the 80 classes that are used; DETR, RF-DETR and TensorFlow's models keep the 91 category
ids of the annotations, with gaps.
"""

from __future__ import annotations

COCO_80: tuple[str, ...] = tuple(
    "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,"
    "stop sign,parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,"
    "backpack,umbrella,handbag,tie,suitcase,frisbee,skis,snowboard,sports ball,kite,"
    "baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,wine glass,cup,fork,"
    "knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,"
    "chair,couch,potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,"
    "cell phone,microwave,oven,toaster,sink,refrigerator,book,clock,vase,scissors,teddy bear,"
    "hair drier,toothbrush".split(",")
)
"""Index -> name."""

_UNUSED = {0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
"""Category ids that no annotation uses."""


def _by_id() -> tuple[str, ...]:
    names = iter(COCO_80)
    return tuple(f"unused {index}" if index in _UNUSED else next(names) for index in range(91))


COCO_91: tuple[str, ...] = _by_id()
"""Category id -> name; the ids without a class are called ``unused 12`` and the like."""
