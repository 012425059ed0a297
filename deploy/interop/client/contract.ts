// A client made of the published contract, that holds every answer against it. The
// compiler checks what is sent; what comes back is checked here, by a validator that
// knows nothing of Coffre.
import { readFile } from 'node:fs/promises'
import { Ajv, type ValidateFunction } from 'ajv'
import formats from 'ajv-formats'
import createClient, { type Middleware } from 'openapi-fetch'
import { parse } from 'yaml'
import type { paths } from './api.js'

/** What of the contract is looked at; anchors are resolved, references are not. */
interface Document {
  servers: { url: string }[]
  paths: Record<string, Record<string, { security?: object[]; responses: Record<string, Answer> }>>
  components: { responses: Record<string, Answer>; headers: Record<string, Header> }
}
interface Answer {
  $ref?: string
  headers?: Record<string, Header>
  content?: Record<string, { schema: object }>
}
interface Header {
  $ref?: string
  required?: boolean
  schema?: object
}

/** An answer that the contract does not allow. */
export class Breach extends Error {}

/** The published contract, and where its server is. */
export class Contract {
  readonly #ajv = new Ajv({ strict: false, allErrors: true })
  readonly #compiled = new Map<string, ValidateFunction>()
  /** How many answers were held against it and fit. */
  answers = 0

  private constructor(
    private readonly document: Document,
    readonly base: string,
  ) {
    formats.default(this.#ajv)
    this.#ajv.addSchema(document, 'contract')
  }

  /** Reads the file that was fetched from `url`. */
  static async read(file: string, url: string): Promise<Contract> {
    const document = parse(await readFile(file, 'utf8'), { maxAliasCount: -1 }) as Document
    const server = document.servers[0]
    if (!server) throw new Error('the contract names no server')
    return new Contract(document, new URL(server.url, url).href)
  }

  /** A client for who bears the token; without one, for anybody. */
  client(token?: string) {
    const made = createClient<paths>({ baseUrl: this.base, headers: token ? { Authorization: `Bearer ${token}` } : {} })
    made.use(this.#watch)
    return made
  }

  readonly #watch: Middleware = {
    onResponse: async ({ request, response, schemaPath }) => {
      const said = await response.clone().text()
      const wrong = this.#breaches(request.method.toLowerCase(), schemaPath, response, said)
      if (wrong.length > 0) {
        throw new Breach(`${request.method} ${schemaPath} answered ${response.status}: ${wrong.join('; ')}\n${said}`)
      }
      this.answers++
    },
  }

  #breaches(method: string, path: string, response: Response, said: string): string[] {
    const operation = this.document.paths[path]?.[method]
    if (!operation) return ['no such operation']
    const status = String(response.status)
    const answer = this.#deref(operation.responses[status] ?? operation.responses['default'])
    const wrong: string[] = []
    for (const [name, declared] of Object.entries(answer.headers ?? {})) {
      const header = this.#deref(declared)
      const value = response.headers.get(name)
      if (value === null ? header.required : !this.#fits(header.schema ?? {}, value)) wrong.push(`header ${name}: ${value}`)
    }
    if (!/^[0-9A-Za-z-]{1,36}$/.test(response.headers.get('BelGov-Trace-Id') ?? '')) wrong.push('no BelGov-Trace-Id')
    if (operation.security?.length !== 0 && response.headers.get('Cache-Control') !== 'no-store') wrong.push('may be cached')
    if (!answer.content) return said === '' ? wrong : [...wrong, 'a body where there is none']
    const type = response.headers.get('Content-Type')?.split(';')[0] ?? ''
    const media = answer.content[type]
    if (!media) return [...wrong, `content type ${type}`]
    const body = JSON.parse(said) as { status?: number; type?: string }
    if (!this.#fits(media.schema, body)) wrong.push('the body does not fit its schema')
    if (type === 'application/problem+json') {
      if (body.status !== response.status) wrong.push('status of the problem')
      if (!/^urn:problem-type:(belgif|coffre):[a-z][A-Za-z0-9]*$/.test(body.type ?? '')) wrong.push('type of the problem')
    }
    return wrong
  }

  #fits(schema: object, value: unknown): boolean {
    const key = JSON.stringify(schema)
    let check = this.#compiled.get(key)
    if (!check) {
      check = this.#ajv.compile(JSON.parse(key.replaceAll('"$ref":"#/', '"$ref":"contract#/')) as object)
      this.#compiled.set(key, check)
    }
    return check(value) as boolean
  }

  #deref<T extends { $ref?: string }>(it: T | undefined): T {
    if (!it) throw new Breach('an answer that the contract does not name')
    if (!it.$ref) return it
    let found: unknown = this.document
    for (const part of it.$ref.slice(2).split('/')) found = (found as Record<string, unknown>)[part]
    return found as T
  }
}
