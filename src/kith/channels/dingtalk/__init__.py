"""DingTalk: the robot of an app of one's own, over Stream mode."""
