import { language } from "../prefs";
import { useStore } from "../store";
import { useWords } from "../words";

/** Choosing one of a few. */
export function Choose<T extends string>({ label, value, all, name, choose }: { label: string; value: T; all: readonly T[]; name: (one: T) => string; choose: (one: T) => void }) {
  return (
    <fieldset className="choose">
      <legend>{label}</legend>
      <div>
        {all.map((one) => (
          <label key={one}>
            <input type="radio" name={label} checked={one === value} onChange={() => choose(one)} />
            <span>{name(one)}</span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}

export function Language() {
  const t = useWords();
  const chosen = useStore(language);
  return <Choose label={t("settings.language")} value={chosen} all={["en", "zh"]} name={(one) => (one === "zh" ? "中文" : "English")} choose={(one) => language.set(one)} />;
}
