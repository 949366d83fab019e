import { BarChart, CandlestickChart, HeatmapChart, LineChart, PieChart, RadarChart, SankeyChart, ScatterChart } from "echarts/charts";
import {
  DatasetComponent, DataZoomComponent, GridComponent, LegendComponent, MarkLineComponent, RadarComponent, TitleComponent,
  TooltipComponent, VisualMapComponent,
} from "echarts/components";
import { init, use } from "echarts/core";
import { SVGRenderer } from "echarts/renderers";
import { useEffect, useRef, useState } from "react";
import { dark, theme } from "../prefs";
import { useStore } from "../store";
import { useWords } from "../words";
import { Code } from "./code";
import { options } from "./options";

use([
  BarChart, CandlestickChart, HeatmapChart, LineChart, PieChart, RadarChart, SankeyChart, ScatterChart, DatasetComponent,
  DataZoomComponent, GridComponent, LegendComponent, MarkLineComponent, RadarComponent, TitleComponent, TooltipComponent,
  VisualMapComponent, SVGRenderer,
]);

/** An ECharts chart from the JSON of its options. */
export default function Chart({ source }: { source: string }) {
  const t = useWords();
  const look = useStore(theme);
  const place = useRef<HTMLDivElement>(null);
  const [wrong, setWrong] = useState(false);
  useEffect(() => {
    const here = place.current;
    if (!here) return;
    const chart = init(here, dark() ? "dark" : undefined, { renderer: "svg" });
    const watcher = new ResizeObserver(() => chart.resize());
    try {
      chart.setOption({ backgroundColor: "transparent", ...options(source) });
      watcher.observe(here);
    } catch {
      setWrong(true);
    }
    return () => {
      watcher.disconnect();
      chart.dispose();
    };
  }, [source, look]);
  if (wrong) return <Code language="json" text={source} />;
  return <div className="chart" role="img" aria-label={`${t("chart.label")}: ${title(source)}`} ref={place} />;
}

function title(source: string): string {
  const found = /"text"\s*:\s*"([^"]+)"/.exec(source);
  return found?.[1] ?? "";
}
