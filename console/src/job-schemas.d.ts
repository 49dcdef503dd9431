declare module "virtual:job-schemas" {
  const schemas: Record<string, import("./components/schema-form").Schema>;
  export default schemas;
}
