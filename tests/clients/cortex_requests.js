// Sends the requests of Fabric's command `cortex` 2.4.0, with the HTTP library, the time limits and the tokens that it uses.
//
//     node cortex_requests.js VERB ARGUMENT…
//
// The command itself is in no registry. What it sends and what it reads is in docs/reference/compatibility.md. It takes its gateway from
// `$CORTEX_CONFIG_DIR/config`, as `cortex configure --file` writes it, and prints one JSON value. A failure ends with 1, as there.

const fs = require('node:fs');
const path = require('node:path');
const { pipeline } = require('node:stream/promises');
const got = require('got');
const jose = require('jose-node-cjs-runtime');
const { GraphQLClient } = require('graphql-request');

const LIMITS = { lookup: 75, connect: 400, secureConnect: 400, socket: 1000, response: 2000 };

const client = got.extend({
  followRedirect: false,
  retry: 3,
  timeout: LIMITS,
  hooks: {
    afterResponse: [(response) => {
      if (response.headers['x-auth-error']) throw new Error(`Auth Error: ${response.headers['x-auth-error']}`);
      return response;
    }],
  },
});

function profile() {
  const config = JSON.parse(fs.readFileSync(path.join(process.env.CORTEX_CONFIG_DIR, 'config')));
  return config.profiles[config.currentProfile];
}

class Cortex {
  constructor({ url, username, issuer, audience, jwk, project }, token) {
    Object.assign(this, { url, username, issuer, audience, jwk, project, token });
  }

  static async login() {
    const found = new Cortex(profile());
    const { serverTs } = await client.get(`${found.url}/fabric/v4/info`).json();
    const key = await jose.importJWK(found.jwk, 'Ed25519');
    const seconds = Math.floor(serverTs / 1000);
    found.token = await new jose.SignJWT({})
      .setProtectedHeader({ alg: 'EdDSA', kid: found.jwk.kid })
      .setSubject(found.username)
      .setAudience(found.audience)
      .setIssuer(found.issuer)
      .setIssuedAt(seconds)
      .setExpirationTime(seconds + 120)
      .sign(key, { kid: found.jwk.kid });
    await found.get('/fabric/v4/compatibility/applications/cortex-cli');
    return found;
  }

  of(route) {
    return route.startsWith('/fabric/') ? `${this.url}${route}` : `${this.url}/fabric/v4/projects/${this.project}${route}`;
  }

  get headers() {
    return { Authorization: `Bearer ${this.token}` };
  }

  get(route) {
    return client.get(this.of(route), { headers: this.headers }).json();
  }

  post(route, json) {
    return client.post(this.of(route), { headers: this.headers, json }).json();
  }

  delete(route) {
    return client.delete(this.of(route), { headers: this.headers }).json();
  }

  async graphql(query, variables) {
    const headers = { Authorization: `bearer ${this.token}` };
    return new GraphQLClient(`${this.url}/fabric/v4/graphql`, { headers, redirect: 'error' }).request(query, variables);
  }

  // An artifact and a file of content are streamed, without their length. (The command joins the streams with `pipeline`, which this
  // version of got does not survive on node 20.)
  upload(method, route, file) {
    const headers = { ...this.headers, 'Content-Type': 'application/octet-stream' };
    return new Promise((resolve, reject) => {
      const sent = client.stream[method](this.of(route), { headers });
      sent.once('error', reject).once('end', resolve).resume();
      fs.createReadStream(file).pipe(sent);
    });
  }

  download(route, file) {
    return pipeline(client.stream(this.of(route), { headers: this.headers }), fs.createWriteStream(file));
  }
}

const escaped = encodeURIComponent;
const lines = (text) => text.split('\n').filter((line) => line.length > 0);

// As the command reads a log that grows: each line of what arrives at once is `data: <JSON>`, with a text or `{log}` in it.
async function follow(cortex, route) {
  const said = [];
  const stream = got.stream(cortex.of(route), { headers: cortex.headers, searchParams: { follow: true } });
  for await (const chunk of stream) {
    for (const line of lines(chunk.toString())) {
      const event = JSON.parse(line.replace(/^data: /, ''));
      const { log } = typeof event === 'string' ? JSON.parse(event) : event;
      if (!log) throw new Error(`no log in ${line}`);
      said.push(...lines(log));
    }
  }
  return said;
}

const VERBS = {
  // One call: method, route with its query, and a body as JSON.
  async call(cortex, method, route, given = '{}') {
    return cortex[method](route, JSON.parse(given));
  },

  async graphql(cortex, query, variables = '{}') {
    return cortex.graphql(query, JSON.parse(variables));
  },

  async follow(cortex, route) {
    return follow(cortex, route);
  },

  async upload(cortex, method, route, file) {
    await cortex.upload(method, route, file);
    return null;
  },

  async download(cortex, route, file) {
    await cortex.download(route, file);
    return null;
  },

  // `workspaces publish --skip-push` of one skill, in its order of work; the images are built already.
  async publish(cortex, root, name) {
    const read = (file) => JSON.parse(fs.readFileSync(path.join(root, file)));
    const { projectByName } = await cortex.graphql(`query { projectByName( name: "${cortex.project}" ){name, title, description}}`);
    if (!projectByName) throw new Error(`Project ${cortex.project} not found.`);
    const type = read(`types/${name}/type.json`);
    await cortex.post('/types', 'types' in type ? type : { types: [type] });
    await cortex.post('/models', read(`models/${name}/model.json`));
    const experiment = read(`experiments/${name}/experiment.json`);
    await cortex.post('/experiments', experiment);
    const runs = `/experiments/${escaped(experiment.name)}/runs`;
    const run = read(`experiments/${name}/run.json`);
    await cortex.delete(`${runs}/${run.runId}`).catch(() => null);
    await cortex.post(runs, { ...run, experimentName: experiment.name });
    await cortex.upload('put', `${runs}/${escaped(run.runId)}/artifacts/model`, path.join(root, `experiments/${name}/model.pickle`));
    await cortex.upload('post', `/content/content/${name}/words`, path.join(root, `content/${name}/words.txt`));
    const skill = read(`skills/${name}/skill.json`);
    skill.actions.forEach((action) => { action.image = `${action.image}:a1b2c3`; });
    return cortex.post('/skills', skill);
  },
};

async function main([verb, ...words]) {
  const cortex = await Cortex.login();
  process.stdout.write(JSON.stringify(await VERBS[verb](cortex, ...words)) ?? 'null');
}

main(process.argv.slice(2)).catch((error) => {
  process.stderr.write(`${error.message}\n${error.response ? error.response.rawBody ?? error.response.body ?? '' : ''}\n`);
  process.exit(1);
});
