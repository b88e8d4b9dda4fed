// GraphiQL on this server's /graphql. Tokens stay in memory.
"use strict";

const URL_PATH = "/graphql";

const EXAMPLES = `# Sign in above: the token goes into "Headers" below.
# Press the play button and choose what to run; Ctrl-Space completes what you type.

query Overview {
  viewer {
    username
    role
  }
  projects(first: 10) {
    nodes {
      id
      name
      status
    }
  }
}

mutation RunCommand {
  executeCommand(input: { command: "for n in 1 2 3; do echo $n; sleep 1; done" }) {
    id
    status
  }
}

# Give the id of a run in "Variables": {"runId": "…"}
subscription Follow($runId: ID!) {
  commandOutput(runId: $runId) {
    ... on CommandOutput {
      seq
      stream
      content
    }
    ... on CommandFinished {
      exitCode
      totalBytes
      sha256
    }
  }
}
`;

const SIGN_IN = `mutation SignIn($username: String!, $password: String!) {
  login(username: $username, password: $password) {
    accessToken
  }
}`;

// GraphiQL's history keeps headers whatever shouldPersistHeaders says.
const storage = {
  getItem: (key) => localStorage.getItem(key),
  setItem: (key, value) => localStorage.setItem(key, value.replace(/Bearer [\w.~+/=-]+/gi, "Bearer ?")),
  removeItem: (key) => localStorage.removeItem(key),
  clear: () => localStorage.clear(),
  get length() {
    return localStorage.length;
  },
};

const explorer = GraphiQLPluginExplorer.explorerPlugin();

// Subscriptions carry the headers as the payload of connection_init, where names have a case.
function withSpelledHeaders(options) {
  const headers = Object.entries(options?.headers ?? {}).map(([name, value]) => [
    name.toLowerCase() === "authorization" ? "Authorization" : name,
    value,
  ]);
  return { ...options, headers: Object.fromEntries(headers) };
}

const fetchOrFollow = GraphiQL.createFetcher({
  url: URL_PATH,
  subscriptionUrl: `${location.origin.replace(/^http/, "ws")}${URL_PATH}`,
});
const fetcher = (parameters, options) => fetchOrFollow(parameters, withSpelledHeaders(options));

async function signIn({ username, password }) {
  const response = await fetch(URL_PATH, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ query: SIGN_IN, variables: { username, password } }),
  });
  const { data, errors } = await response.json();
  if (errors) throw new Error(errors[0].message);
  return data.login.accessToken;
}

function App() {
  const [headers, setHeaders] = React.useState("");

  React.useEffect(() => {
    const form = document.getElementById("sign-in");
    const output = form.querySelector("output");
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const { username, password } = Object.fromEntries(new FormData(form));
      try {
        const token = await signIn({ username, password });
        setHeaders(JSON.stringify({ Authorization: `Bearer ${token}` }, null, 2));
        form.elements.password.value = "";
        output.textContent = `Signed in as ${username}`;
      } catch (error) {
        output.textContent = error.message;
      }
    });
  }, []);

  return React.createElement(GraphiQL, {
    fetcher,
    headers,
    onEditHeaders: setHeaders,
    defaultQuery: EXAMPLES,
    plugins: [explorer],
    defaultEditorToolsVisibility: true,
    isHeadersEditorEnabled: true,
    inputValueDeprecation: true,
    shouldPersistHeaders: false,
    storage,
  });
}

ReactDOM.createRoot(document.getElementById("graphiql")).render(React.createElement(App));
