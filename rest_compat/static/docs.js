// Swagger UI on this server's /openapi.json. The token stays in memory.
"use strict";

const LOGIN = /\/api\/auth\/(login|refresh)\/?$/;

// Whoever signs in here is signed in: the token goes where the Authorize button would put it.
function keepToken(response) {
  const token = LOGIN.test(response.url) && response.ok && response.body?.data?.access_token;
  if (token) ui.preauthorizeApiKey("bearer", token);
  return response;
}

const ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  displayRequestDuration: true,
  docExpansion: "list",
  persistAuthorization: false,
  responseInterceptor: keepToken,
  tryItOutEnabled: true,
  validatorUrl: null,
});
