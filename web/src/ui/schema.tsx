import { useId } from "react";
import { useWords } from "../words";

export type Schema = {
  $ref?: string;
  $defs?: Record<string, Schema>;
  type?: string | string[];
  title?: string;
  description?: string;
  default?: unknown;
  enum?: unknown[];
  const?: unknown;
  anyOf?: Schema[];
  allOf?: Schema[];
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  format?: string;
  writeOnly?: boolean;
  pattern?: string;
};
export type Kind = "flag" | "whole" | "number" | "text" | "secret" | "choice" | "lines" | "group" | "other";

/** Stands where a secret is kept that is not shown. */
export const MASK = "********";
const SECRET = /(^|_)(token|secret|password|passphrase|key|dsn|credential)$|(token|secret|password|passphrase|apikey)$/i;

/** The schema behind references, and behind `anyOf` with null. */
export function resolved(schema: Schema, root: Schema): Schema {
  if (schema.$ref) {
    const name = schema.$ref.replace(/^#\/\$defs\//, "");
    return { ...resolved(root.$defs?.[name] ?? {}, root), ...without(schema) };
  }
  const inner = schema.anyOf?.filter((one) => one.type !== "null") ?? schema.allOf;
  if (inner?.length === 1 && inner[0]) return { ...resolved(inner[0], root), ...without(schema) };
  return schema;
}

const without = ({ $ref: _, anyOf: __, allOf: ___, ...rest }: Schema): Schema => rest;

/** How a value of this schema is written down. */
export function kindOf(schema: Schema, name: string): Kind {
  if (schema.enum) return "choice";
  if (schema.properties) return "group";
  switch (Array.isArray(schema.type) ? schema.type.find((one) => one !== "null") : schema.type) {
    case "boolean": return "flag";
    case "integer": return "whole";
    case "number": return "number";
    case "string": return schema.writeOnly || schema.format === "password" || SECRET.test(name) ? "secret" : "text";
    case "array": return schema.items?.type === "string" ? "lines" : "other";
    default: return schema.anyOf?.some((one) => one.type === "string") ? "text" : "other";
  }
}

/** What was typed, as a value; null for nothing. Throws `RangeError` for what is no number. */
export function valueOf(text: string, kind: Kind): unknown {
  if (kind === "lines") return text.split("\n").map((line) => line.trim()).filter(Boolean);
  if (!text.trim()) return null;
  if (kind === "flag") return text === "true";
  if (kind === "whole" || kind === "number") {
    const found = Number(text);
    if (!Number.isFinite(found)) throw new RangeError(text);
    return found;
  }
  return text;
}

export function textOf(value: unknown): string {
  if (value === null || value === undefined) return "";
  if (Array.isArray(value)) return value.map(String).join("\n");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

type FieldProps = { name: string; schema: Schema; value: string; set: (text: string) => void; fault?: string; mark?: string; required?: boolean; kept?: boolean };

/** One setting as an input, with what it means and what is wrong with it. */
export function SchemaField({ name, schema, value, set, fault, mark, required, kept }: FieldProps) {
  const t = useWords();
  const id = useId();
  const kind = kindOf(schema, name);
  const told = `${id}-told`;
  const shared = { id, value, "aria-describedby": told, "aria-invalid": fault ? true : undefined } as const;
  const options = kind === "flag" ? ["true", "false"] : (schema.enum ?? []).map(String);
  return (
    <div className="field setting">
      <label htmlFor={id}><code>{name}</code>{required && " *"} {mark && <em className="mark">{mark}</em>}</label>
      {kind === "flag" || kind === "choice" ? (
        <select {...shared} onChange={(e) => set(e.target.value)}>
          <option value="">{t("config.default", { value: textOf(schema.default) || "–" })}</option>
          {options.map((one) => <option key={one} value={one}>{kind === "flag" ? t(one === "true" ? "config.on" : "config.off") : one}</option>)}
        </select>
      ) : kind === "lines" ? (
        <textarea {...shared} rows={Math.max(2, value.split("\n").length)} onChange={(e) => set(e.target.value)} placeholder={t("config.lines")} />
      ) : kind === "other" ? (
        <input {...shared} readOnly placeholder={kept ? MASK : undefined} title={t("config.file")} />
      ) : (
        <input {...shared} type={kind === "secret" ? "password" : "text"} inputMode={kind === "whole" ? "numeric" : kind === "number" ? "decimal" : undefined} onChange={(e) => set(e.target.value)} onFocus={(e) => e.target.value === MASK && e.target.select()} placeholder={kept ? t("channels.kept") : textOf(schema.default)} autoComplete="off" spellCheck={false} />
      )}
      <span className="hint" id={told}>{schema.description}{fault && <strong className="bad"> {fault}</strong>}</span>
    </div>
  );
}
