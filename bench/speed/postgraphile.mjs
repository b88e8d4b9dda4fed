// PostGraphile over our tables, without any check of who asks. `node postgraphile.mjs PORT`
import { createServer } from "node:http";
import { grafserv } from "postgraphile/grafserv/node";
import { makePgService } from "postgraphile/adaptors/pg";
import { PostGraphileAmberPreset } from "postgraphile/presets/amber";
import { postgraphile } from "postgraphile";
import { jsonPgSmartTags } from "postgraphile/utils";

const ofEvents = jsonPgSmartTags({
  version: 1,
  config: { class: { events: { tags: { foreignKey: "(task_id) references tasks (id)" } } } },
});
const preset = {
  extends: [PostGraphileAmberPreset],
  plugins: [ofEvents],
  disablePlugins: ["NodePlugin"],
  grafserv: { graphqlPath: "/graphql", graphiql: false, watch: false },
  pgServices: [makePgService({ connectionString: process.env.DATABASE_URL, schemas: ["public"] })],
};
const serv = postgraphile(preset).createServ(grafserv);
const server = createServer();
await serv.addTo(server);
server.listen(Number(process.argv[2]), "127.0.0.1");
