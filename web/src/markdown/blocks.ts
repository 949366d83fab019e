import DOMPurify from "dompurify";
import type { Token, Tokens, TokenizerAndRendererExtension } from "marked";
import { Marked } from "marked";

export type Block =
  | { kind: "code"; language: string; text: string; open: boolean }
  | { kind: "html"; html: string };

const escaped = (text: string): string =>
  text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);

/** `$x$`, `\(x\)`, `$$x$$` and `\[x\]` become marks that are set as formulas later. */
function formula(name: string, level: "inline" | "block", pattern: RegExp, hint: RegExp): TokenizerAndRendererExtension {
  return {
    name,
    level,
    start: (source) => source.search(hint),
    tokenizer: (source) => {
      const found = pattern.exec(source);
      return found ? { type: name, raw: found[0], text: (found[1] ?? found[2] ?? "").trim() } : undefined;
    },
    renderer: (token) => {
      const tag = level === "block" ? "div" : "span";
      return `<${tag} class="math" data-display="${level === "block"}">${escaped(String(token.text))}</${tag}>`;
    },
  };
}

const marked = new Marked({ gfm: true, breaks: true });
marked.use({
  extensions: [
    formula("blockFormula", "block", /^(?:\$\$([\s\S]+?)\$\$|\\\[([\s\S]+?)\\\])/, /\$\$|\\\[/),
    // A dollar before a number is money: a formula neither begins nor ends with a space, nor does a digit follow it.
    formula("formula", "inline", /^(?:\$(?!\s|\$)((?:\\.|[^$\\\n])+?)(?<!\s)\$(?!\d)|\\\(([\s\S]+?)\\\))/, /\$|\\\(/),
  ],
  renderer: {
    html: ({ text }: Tokens.HTML | Tokens.Tag) => escaped(text),
    // Pictures of other sites are not loaded: their address could carry words out of the house.
    image: ({ href, text }: Tokens.Image) =>
      /^data:image\/(png|jpeg|gif|webp);/i.test(href)
        ? `<img src="${escaped(href)}" alt="${escaped(text)}">`
        : `<a class="picture" href="${escaped(href)}">${escaped(text || href)}</a>`,
    table(token: Tokens.Table) {
      const row = (cells: Tokens.TableCell[], tag: string): string =>
        `<tr>${cells.map((cell) => `<${tag}${cell.align ? ` align="${cell.align}"` : ""}>${this.parser.parseInline(cell.tokens)}</${tag}>`).join("")}</tr>`;
      const body = token.rows.map((cells) => row(cells, "td")).join("");
      return `<div class="table" tabindex="0"><table><thead>${row(token.header, "th")}</thead><tbody>${body}</tbody></table></div>`;
    },
  },
});

const ALLOWED = {
  ALLOWED_TAGS: [
    "a", "blockquote", "br", "code", "del", "div", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "img", "input", "li",
    "ol", "p", "pre", "span", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
  ],
  ALLOWED_ATTR: ["align", "alt", "checked", "class", "data-display", "disabled", "href", "src", "start", "tabindex", "title", "type"],
  ALLOWED_URI_REGEXP: /^(?:https?:|mailto:|tel:|data:image\/(?:png|jpeg|gif|webp);|#)/i,
  // Only addresses are held against the pattern above, not these.
  ADD_URI_SAFE_ATTR: ["align", "checked", "data-display", "disabled", "start", "tabindex", "type"],
  ALLOW_DATA_ATTR: false,
};

function render(tokens: Token[]): string {
  return DOMPurify.sanitize(marked.parser(tokens), ALLOWED);
}

/** A Markdown text as blocks. While a text grows, all blocks but the last stay the same and need no new work. */
export function blocks(source: string): Block[] {
  return marked.lexer(source).flatMap((token): Block[] => {
    if (token.type === "space") return [];
    if (token.type === "code") {
      const { lang, text, raw } = token as Tokens.Code;
      const fence = /^(`{3,}|~{3,})/.exec(raw.trimStart())?.[1] ?? "";
      const open = fence !== "" && !raw.trimEnd().slice(fence.length).endsWith(fence);
      return [{ kind: "code", language: (lang ?? "").trim().split(/\s+/)[0] ?? "", text, open }];
    }
    return [{ kind: "html", html: render([token]) }];
  });
}
