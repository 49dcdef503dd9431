import { type ReactNode, useId } from "react";

import type { Fault } from "../api/types";
import { capitalized, words } from "../format";
import { Marked } from "./marked";

/** Forms made from JSON Schema, as far as the API's own schemas go. The API says what is wrong with the values. */

export interface Schema {
  $ref?: string;
  $defs?: Record<string, Schema>;
  type?: string;
  title?: string;
  description?: string;
  default?: unknown;
  const?: unknown;
  enum?: string[];
  items?: Schema;
  anyOf?: Schema[];
  oneOf?: Schema[];
  properties?: Record<string, Schema>;
  required?: string[];
  pattern?: string;
  minimum?: number;
  maximum?: number;
}

export type Values = Record<string, unknown>;

interface Context {
  /** Where references lead. */
  find: (reference: string) => Schema;
  faults: Fault[];
  /** What a field for a model's id offers. */
  models: [id: string, name: string][];
}

/** References within one schema, or within the API's description. */
export function finder(definitions: Record<string, Schema>): Context["find"] {
  return (reference) => definitions[reference.split("/").at(-1)!] ?? {};
}

interface FieldProps {
  name: string;
  schema: Schema;
  value: unknown;
  pointer: string;
  isRequired?: boolean;
  context: Context;
  onChange: (value: unknown) => void;
}

/** Fields for the properties of an object. What is left empty is left out of the request. */
export function SchemaFields({ schema, value, pointer, context, without = [], onChange }: {
  schema: Schema;
  value: Values;
  pointer: string;
  context: Context;
  without?: string[];
  onChange: (value: Values) => void;
}) {
  const isRequired = (name: string) => schema.required?.includes(name) ?? false;
  const given = Object.keys(schema.properties ?? {}).filter((name) => !without.includes(name));
  const names = [...given.filter(isRequired), ...given.filter((name) => !isRequired(name))];
  return (
    <div className="fields">
      {names.map((name) => (
        <SchemaField
          key={name}
          name={name}
          schema={schema.properties![name]!}
          value={value[name]}
          pointer={`${pointer}/${name}`}
          isRequired={isRequired(name)}
          context={context}
          onChange={(one) => onChange(changed(value, name, one))}
        />
      ))}
    </div>
  );
}

export function changed(values: Values, name: string, value: unknown): Values {
  const { [name]: _, ...others } = values;
  return value === undefined ? others : { ...others, [name]: value };
}

export function SchemaField(props: FieldProps) {
  const { schema, isOptional } = resolved(props.schema, props.context);
  if (schema.oneOf) return <OneOf {...props} variants={schema.oneOf} description={schema.description} />;
  if (schema.properties) return <Nested {...props} schema={schema} isOptional={isOptional || "default" in props.schema} />;
  return <Scalar {...props} schema={schema} />;
}

/** Without reference and `null`, which an empty field stands for. */
function resolved(schema: Schema, { find }: Context): { schema: Schema; isOptional: boolean } {
  const { description, default: preset } = schema;
  const parts = schema.anyOf ?? [schema];
  const isOptional = parts.some(({ type }) => type === "null");
  const [part = {}] = parts.filter(({ type }) => type !== "null");
  const found = part.$ref ? find(part.$ref) : part;
  return { schema: { ...found, description: description ?? found.description, default: preset ?? found.default }, isOptional };
}

function Scalar({ name, schema, value, pointer, isRequired, context, onChange }: FieldProps) {
  const id = useId();
  const fault = context.faults.find((one) => one.pointer === pointer || one.pointer?.startsWith(`${pointer}/`));
  const preset = schema.default == null ? undefined : String(schema.default);
  const common = { id, required: isRequired, "aria-invalid": fault ? true : undefined, "aria-describedby": `${id}-about` };
  let input: ReactNode;
  if (schema.type === "array" && schema.items?.enum) {
    return <Several name={name} schema={schema} options={schema.items.enum} value={value} onChange={onChange} />;
  }
  if (schema.pattern?.startsWith("^mdl_")) {
    input = (
      <select {...common} value={String(value ?? "")} onChange={({ target }) => onChange(target.value || undefined)}>
        <option value="">choose …</option>
        {context.models.map(([model, called]) => (
          <option key={model} value={model}>
            {called}
          </option>
        ))}
      </select>
    );
  } else if (schema.enum || schema.type === "boolean") {
    const options = schema.enum ?? ["true", "false"];
    const read = (text: string) => (text === "" ? undefined : schema.enum ? text : text === "true");
    input = (
      <select {...common} value={value === undefined ? "" : String(value)} onChange={({ target }) => onChange(read(target.value))}>
        {!isRequired && <option value="">{preset ? `default: ${words(preset)}` : "default"}</option>}
        {options.map((option) => (
          <option key={option} value={option}>
            {words(option)}
          </option>
        ))}
      </select>
    );
  } else if (schema.type === "number" || schema.type === "integer") {
    const { minimum: min, maximum: max } = schema;
    const step = schema.type === "integer" ? 1 : "any";
    input = (
      <input
        {...common}
        type="number"
        {...{ min, max, step }}
        placeholder={preset ?? "default"}
        value={value === undefined ? "" : String(value)}
        onChange={({ target }) => onChange(target.value === "" ? undefined : Number(target.value))}
      />
    );
  } else {
    const isList = schema.type === "array";
    const read = (text: string) => (isList ? text.split(",").map((part) => part.trim()) : text);
    input = (
      <input
        {...common}
        placeholder={isList ? "one, another" : (preset ?? "default")}
        value={value === undefined ? "" : String(value)}
        onChange={({ target }) => onChange(target.value === "" ? undefined : read(target.value))}
      />
    );
  }
  return (
    <div className="field">
      <label htmlFor={id}>{capitalized(words(name))}</label>
      {input}
      {fault && (
        <p className="fault" role="alert">
          {fault.detail}
        </p>
      )}
      <p className="fine" id={`${id}-about`}>
        <Marked text={schema.description} />
      </p>
    </div>
  );
}

function Several({ name, schema, options, value, onChange }: {
  name: string;
  schema: Schema;
  options: string[];
  value: unknown;
  onChange: (value: unknown) => void;
}) {
  const chosen = (value ?? schema.default ?? []) as string[];
  return (
    <fieldset>
      <legend>{capitalized(words(name))}</legend>
      {options.map((option) => (
        <label key={option} className="check">
          <input
            type="checkbox"
            checked={chosen.includes(option)}
            onChange={({ target }) => onChange(options.filter((one) => (one === option ? target.checked : chosen.includes(one))))}
          />
          {option}
        </label>
      ))}
      <p className="fine">
        <Marked text={schema.description} />
      </p>
    </fieldset>
  );
}

function Nested({ name, schema, value, pointer, isRequired, isOptional, context, onChange }: FieldProps & { isOptional: boolean }) {
  const isOn = value !== undefined;
  const canBeOff = isOptional || !isRequired;
  return (
    <fieldset className="nested">
      <legend>
        {canBeOff ? (
          <label className="check">
            <input type="checkbox" checked={isOn} onChange={({ target }) => onChange(target.checked ? {} : undefined)} />
            {capitalized(words(name))}
          </label>
        ) : (
          capitalized(words(name))
        )}
      </legend>
      {schema.description && <p className="fine">
          <Marked text={schema.description.split("\n")[0]} />
        </p>}
      {(isOn || !canBeOff) && (
        <SchemaFields schema={schema} value={(value ?? {}) as Values} pointer={pointer} context={context} onChange={onChange} />
      )}
    </fieldset>
  );
}

/** One of several objects: the first field chooses which. */
function OneOf({ name, variants, value, pointer, context, onChange, description }: FieldProps & { variants: Schema[]; description?: string }) {
  const id = useId();
  const schemas = variants.map((variant) => resolved(variant, context).schema);
  const names = Object.keys((value ?? {}) as Values);
  const fits = (schema: Schema) => names.every((one) => one in (schema.properties ?? {}));
  const index = Math.max(0, schemas.findIndex(fits));
  return (
    <fieldset className="nested">
      <legend>{capitalized(words(name))}</legend>
      {description && <p className="fine">{description}</p>}
      <div className="field">
        <label htmlFor={id}>Kind</label>
        <select id={id} value={index} onChange={({ target }) => onChange(required(schemas[Number(target.value)]!))}>
          {schemas.map((schema, place) => (
            <option key={place} value={place}>
              {schema.title}
            </option>
          ))}
        </select>
      </div>
      <SchemaFields schema={schemas[index]!} value={(value ?? {}) as Values} pointer={pointer} context={context} onChange={onChange} />
    </fieldset>
  );
}

/** A beginning that fits only its own kind. */
function required(schema: Schema): Values {
  return Object.fromEntries((schema.required ?? []).map((name) => [name, schema.properties?.[name]?.minimum ?? 1]));
}
