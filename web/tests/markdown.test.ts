import { describe, expect, test } from "vitest";
import { blocks } from "../src/markdown/blocks";
import { options } from "../src/markdown/options";

const html = (source: string): string => blocks(source).map((block) => (block.kind === "html" ? block.html : "")).join("");

describe("hostile Markdown", () => {
  test.each([
    "<script>alert(1)</script>",
    '<img src=x onerror="alert(1)">',
    "[a](javascript:alert(1))",
    "[a](JaVaScRiPt:alert(1))",
    "[a](data:text/html,<script>alert(1)</script>)",
    "[a](vbscript:x)",
    '<svg onload="alert(1)">',
    "![a](javascript:alert(1))",
    '![a"onerror="alert(1)](data:image/png;base64,AA==)',
    '<iframe src="https://example.org"></iframe>',
    '<a href="x" style="position:fixed">x</a>',
    "<math><mi//xlink:href=\"data:x,<script>alert(1)</script>\">",
    "$<img src=x onerror=alert(1)>$",
    "| a |\n|---|\n| <script>alert(1)</script> |",
  ])("%s does nothing", (source) => {
    const place = document.createElement("div");
    place.innerHTML = html(source);
    expect(place.querySelectorAll("script, iframe, svg, style, object, embed, form").length).toBe(0);
    for (const element of place.querySelectorAll("*")) {
      for (const { name, value } of element.attributes) {
        expect(name.startsWith("on")).toBe(false);
        expect(name).not.toBe("style");
        expect(value.toLowerCase()).not.toMatch(/^\s*(javascript|vbscript|data:text)/);
      }
    }
  });

  test("pictures of other sites are links, not pictures", () => {
    expect(html("![cat](https://example.org/cat.png?said=secret)")).not.toContain("<img");
    expect(html("![dot](data:image/png;base64,iVBORw0KGgo=)")).toContain("<img");
  });

  test("a large and deep text ends in time", () => {
    expect(blocks("> ".repeat(500) + "x").length).toBe(1);
    expect(blocks("$".repeat(5000)).length).toBeGreaterThan(0);
    expect(blocks("*a ".repeat(1000)).length).toBe(1);
  });
});

describe("what people write", () => {
  test("formulas of every kind become marks, money does not", () => {
    expect(html("$E = mc^2$ and \\(a+b\\)").match(/class="math"/g)).toHaveLength(2);
    expect(html("$$\nx\n$$\n\n\\[y\\]").match(/data-display="true"/g)).toHaveLength(2);
    expect(html("it costs $5 and $6")).not.toContain("math");
  });

  test("code is a block of its own, open while it is being written", () => {
    expect(blocks("a\n\n```py\nprint(1)")).toMatchObject([{ kind: "html" }, { kind: "code", language: "py", open: true }]);
    expect(blocks("```py\nprint(1)\n```")).toMatchObject([{ kind: "code", text: "print(1)", open: false }]);
    expect(blocks("````md\n```\nx\n```\n````")).toMatchObject([{ kind: "code", text: "```\nx\n```", open: false }]);
  });

  test("tables keep how they are aligned, lists their boxes", () => {
    expect(html("| a | b |\n|---|--:|\n| 1 | 2 |")).toContain('<td align="right">2</td>');
    expect(html("- [x] done")).toContain('type="checkbox"');
  });

  test("earlier blocks stay the same while a text grows", () => {
    const text = "# One\n\nTwo **three**\n\n- four\n- five\n\n";
    expect(blocks(`${text}six`).slice(0, 3)).toEqual(blocks(text).slice(0, 3));
  });

  test("Chinese is left as it is", () => {
    expect(html("你好，**世界**！")).toContain("<strong>世界</strong>");
  });
});

describe("charts", () => {
  test("nothing in them loads, leads away or is HTML", () => {
    const found = options(JSON.stringify({
      title: { text: "a", link: "javascript:alert(1)", sublink: "x" },
      tooltip: { formatter: "<img src=x onerror=alert(1)>", renderMode: "html", extraCssText: "x" },
      graphic: [{ type: "image" }],
      series: [{ type: "scatter", symbol: "image://https://example.org/a.png", data: [1] }],
    }));
    expect(JSON.stringify(found)).not.toMatch(/javascript|example|"html"|graphic|sublink/);
    expect(found.tooltip).toMatchObject({ renderMode: "richText" });
  });

  test.each(["", "[]", "null", "7", "{", "function(){}"])("%s is refused", (source) => {
    expect(() => options(source)).toThrow();
  });

  test("a chart too deep is cut", () => {
    expect(JSON.stringify(options(`${'{"a":'.repeat(200)}1${"}".repeat(200)}`)).length).toBeLessThan(200);
  });
});
