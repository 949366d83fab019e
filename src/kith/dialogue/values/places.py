"""Places by a small gazetteer, addresses and people by their form, in Chinese and English."""

from __future__ import annotations

from pathlib import Path

# A name as people write it, in lower case, to its English form.
PLACES: dict[str, str] = {
    name.replace("_", " ").casefold(): entry.split()[0].replace("_", " ")
    for line in (Path(__file__).parent / "places.txt").read_text("utf-8").splitlines()[1:]
    for entry in line.split("|")
    for name in entry.split()
}

_SURNAMES = (
    "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶阎余潘杜戴夏钟汪田任姜"
    "范方石姚谭廖邹熊金陆郝孔白崔康毛邱秦江史顾侯邵孟龙万段钱汤尹黎易常武乔贺赖龚文"
)
_TITLES = "先生|女士|小姐|老师|医生|大夫|教授|经理|总监|主任|师傅|阿姨|叔叔|律师|同学|校长|院长|护士"
_HAN = "\u4e00-\u9fff"
_WHERE = "(?:在|是|到|去|往|寄|址|于|：|:|,|，|^| )"

# In each form, group 1 is the value.
_AREA = rf"(?:[{_HAN}]{{2,7}}?(?:省|自治区))?(?:[{_HAN}]{{2,5}}?市)?(?:[{_HAN}]{{1,5}}?(?:区|县|镇))?(?<![在到去往])"
_STREET = rf"[{_HAN}]{{1,7}}?(?:路|街|大道|大街|巷|弄|胡同)(?:\d{{1,5}}|[零一二三四五六七八九十百]{{1,6}})(?:号|弄)"
_ROOM = r"(?:[\da-z]{1,6}(?:号楼|号|栋|幢|单元|室|层|楼)){0,4}"
_ROAD = "street|st|road|rd|avenue|ave|lane|ln|drive|dr|boulevard|blvd|square|court|terrace|crescent|way"
ADDRESSES: tuple[str, ...] = (
    rf"{_WHERE}?({_AREA}{_STREET}{_ROOM})",
    rf"\b(\d{{1,5}}[a-z]? (?-i:(?:[A-Z][\w'.-]{{1,20}} ){{1,4}}?)(?:{_ROAD})\b(?-i:, [A-Z]\w+)?)",
)
PEOPLE: tuple[str, ...] = (
    rf"(?:我叫|名字叫|名字是|名叫)([{_HAN}]{{2,4}}?)(?=[，。！,.!\s]|$|今年|是|来自|住)",
    rf"(?<![{_SURNAMES}])([{_SURNAMES}](?:{_TITLES}))",
    r"\b(?:my name is|my name's|i am called|i'm called|call me) (?-i:([A-Z][\w'-]+(?: [A-Z][\w'-]+){0,2}))",
    r"\b(?-i:((?:Mr|Mrs|Ms|Miss|Dr|Prof)\.? [A-Z][\w'-]+(?: [A-Z][\w'-]+)?))",
)
