// What a dashboard's JSON may look like, put together from Grafana's own types. Nothing may be in it that they do not
// know: TypeScript refuses unknown properties of a literal, but only where no type in between takes anything.
import type * as grafana from '@grafana/schema';
import type * as barchart from '@grafana/schema/dist/esm/raw/composable/barchart/panelcfg/x/BarChartPanelCfg_types.gen.d.ts';
import type * as stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen.d.ts';
import type * as timeline from '@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen.d.ts';
import type * as table from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen.d.ts';
import type * as timeseries from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen.d.ts';

// JSON has the values of enums and not their names.
type Value<T> = T extends string ? `${T}` : T extends number ? (`${T}` extends `${infer N extends number}` ? N : T) : T;
type Plain<T> = T extends string | number | boolean | null | undefined
  ? Value<T>
  : T extends (infer Item)[]
    ? Plain<Item>[]
    : T extends object
      ? { [K in keyof T]: Plain<T[K]> }
      : T;

interface Source {
  type: 'influxdb';
  uid: 'zero-export-influxdb' | 'zero-export-lasting';
}

// The queries of the InfluxDB data source, which the package does not describe
// (public/app/plugins/datasource/influxdb/types.ts).
interface Query extends grafana.DataQuery {
  datasource: Source;
  query: string;
  rawQuery: true;
  alias: string;
  resultFormat: 'time_series' | 'table';
}

interface Organize extends grafana.DataTransformerConfig {
  id: 'organize';
  options: {
    excludeByName: Record<string, boolean>;
    indexByName: Record<string, number>;
    renameByName: Record<string, string>;
  };
}

interface ValueLink {
  title: string;
  url: string;
  targetBlank: boolean;
}

// What an override may set: anything that the defaults may, and the panel's own options as "custom.…".
type Property<T> = { [K in keyof T]-?: { id: K; value: T[K] } }[keyof T];
type Custom<T> = { [K in keyof T & string]-?: { id: `custom.${K}`; value: T[K] } }[keyof T & string];

type Fields = Omit<grafana.FieldConfig, 'custom' | 'links'> & { links?: ValueLink[] };

interface Look<Own> {
  defaults: Plain<Fields> & { custom?: Plain<Own> };
  overrides: {
    matcher: { id: 'byName' | 'byRegexp'; options: string };
    properties: (Property<Plain<Fields>> | Custom<Plain<Own>>)[];
  }[];
}

type Base = Omit<
  grafana.Panel,
  'type' | 'options' | 'fieldConfig' | 'targets' | 'datasource' | 'transformations' | 'id' | 'title' | 'description' | 'gridPos'
>;

// Anything that the type calls optional, and that every panel here has.
interface Whole {
  id: number;
  title: string;
  description: string;
  gridPos: grafana.GridPos;
  datasource: Source;
  targets: Plain<Query>[];
  transformations?: Plain<Organize>[];
}

type Kind<Type extends string, Options, Own> = Plain<Base> &
  Whole & { type: Type; options: Plain<Options>; fieldConfig: Look<Own> };

// A state timeline can connect what it knows across gaps, although its type leaves that out
// (public/app/plugins/panel/state-timeline/module.tsx).
type Timeline = timeline.FieldConfig & Pick<grafana.LineConfig, 'spanNulls'>;

export type Panel =
  | Kind<'stat', stat.Options, Record<never, never>>
  | Kind<'timeseries', timeseries.Options, timeseries.FieldConfig>
  | Kind<'state-timeline', timeline.Options, Timeline>
  | Kind<'barchart', barchart.Options, barchart.FieldConfig>
  | Kind<'table', table.Options, table.FieldConfig>
  | Plain<grafana.RowPanel>;

// InfluxDB's annotations have their query beside the fields of all annotations
// (public/app/plugins/datasource/influxdb/datasource.ts, annotationEvents).
type Mark = Plain<Omit<grafana.AnnotationQuery, 'datasource' | 'target' | 'snapshotData'>> & {
  datasource: Source;
  query: string;
  rawQuery: true;
  textColumn: string;
  titleColumn: string;
  tagsColumn: string;
  timeEndColumn: string;
};

// "definition" is what the editor shows (public/app/features/variables/types.ts, QueryVariableModel).
type Choice = Plain<Omit<grafana.VariableModel, 'datasource' | 'query'>> & {
  datasource: Source;
  definition: string;
  query: { query: string; refId: string };
};

export type Dashboard = Plain<Omit<grafana.Dashboard, 'panels' | 'annotations' | 'templating'>> & {
  uid: string;
  title: string;
  panels: Panel[];
  annotations: { list: Mark[] };
  templating: { list: Choice[] };
};
