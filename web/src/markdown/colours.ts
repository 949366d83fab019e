import hljs from "highlight.js/lib/common";

/** Code as HTML with its words marked; empty when the language is not known. Everything of the code is escaped. */
export function colour(text: string, language: string): string {
  return hljs.getLanguage(language) ? hljs.highlight(text, { language, ignoreIllegals: true }).value : "";
}
