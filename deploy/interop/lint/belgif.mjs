// What a machine can check of the Belgian REST guide, as rules for Spectral, in our own
// words under the guide's own ids. A rule is ignored below an x-ignore-rules that names
// it, with a reason, as for the guide's own validator. seeded.yaml shows each at work.

const lowerCamel = /^[a-z][a-z0-9]*([A-Z][a-z0-9]+)*$/
const upperCamel = /^([A-Z][a-z0-9]+)+$/
const titleCase = /^[A-Z][a-z]+( [A-Z][a-z]+)*$/
const upperKebab = /^[A-Z][A-Za-z0-9]*(-[A-Z][A-Za-z0-9]*)*$/
const problemJSON = 'application/problem+json'
const operations = '$.paths[*][get,put,post,delete,options,head,patch]'
const answers = `${operations}.responses[*]`
const parameters = ['$.paths[*].parameters[*]', `${operations}.parameters[*]`, '$.components.parameters[*]']
const schemas = ['$.components.schemas[*]', '$.components.schemas..properties[*]']

/** What each method may answer besides `default`. */
const statuses = {
  get: ['200', '206', '303', '304', '400', '401', '403', '404', '406', '410', '429', '500', '502', '503', '504'],
  post: ['200', '201', '202', '204', '303', '400', '401', '403', '404', '406', '409', '410', '412', '413', '415', '422', '429', '500', '502', '503', '504', '507'],
  put: ['200', '201', '202', '204', '400', '401', '403', '404', '406', '409', '410', '412', '413', '415', '422', '429', '500', '502', '503', '504'],
  patch: ['200', '202', '204', '400', '401', '403', '404', '406', '409', '410', '412', '413', '415', '422', '429', '500', '502', '503', '504'],
  delete: ['200', '202', '204', '400', '401', '403', '404', '409', '410', '412', '429', '500', '502', '503', '504'],
  options: ['200', '204'],
  head: ['200', '304'],
}

/** Whether x-ignore-rules on the way from the root to path names the rule. */
function ignored(root, path, name) {
  let at = root
  for (const part of path) {
    at = at?.[part]
    if (at?.['x-ignore-rules']?.[name]) return true
  }
  return false
}

/**
 * A rule: `wrong` looks at each value that `given` finds and tells where below it
 * something is wrong: [] is the value itself, undefined is nowhere.
 */
function rule(name, description, given, wrong, { resolved = true } = {}) {
  return {
    [name]: {
      description,
      message: `${description} ({{path}})`,
      severity: 'error',
      given,
      resolved,
      then: {
        function: (value, _, { path, documentInventory }) => {
          const root = resolved ? documentInventory.resolved : documentInventory.unresolved
          return (wrong(value, path, root) ?? [])
            .map((below) => [...path, ...below])
            .filter((at) => !ignored(root, at, name))
            .map((at) => ({ message: description, path: at }))
        },
      },
    },
  }
}

const here = (is) => (is ? [[]] : [])
const keys = (bad) => (value) => Object.keys(value ?? {}).filter(bad).map((k) => [k])
const isError = (status) => status === 'default' || /^[45]/.test(status)
const last = (path) => String(path.at(-1))
const plural = (segment) => /s$/.test(segment)

export default {
  rules: {
    ...rule('oas-contra', 'the contract is OpenAPI 3.0', '$.openapi', (v) => here(!/^3\.0\.\d+$/.test(v))),
    ...rule('uri-format', 'a server ends in apiName/v and its major version', '$.servers[*].url', (v) =>
      here(!/^(https:\/\/[^/]+)?(\/[A-Za-z0-9]+)*\/[a-z][A-Za-z0-9]*\/v\d+$/.test(v))),
    ...rule('uri-notat', 'a path is lowerCamelCase segments without a slash at its end', '$.paths', keys((p) =>
      !p.split('/').slice(1).every((s) => lowerCamel.test(s.replace(/^\{(.*)\}$/, '$1').replace(/\.[a-z]+$/, ''))))),
    ...rule('uri-extens', 'a path has no file extension', '$.paths', keys((p) => p.includes('.') && !/\/doc\/openapi\.(yaml|json)$/.test(p))),
    ...rule('col-name', 'a collection is named in the plural', '$.paths', (v) =>
      Object.entries(v).filter(([p, item]) => {
        const shown = item.get?.responses?.['200']?.content?.['application/json']?.schema?.properties
        const above = p.split('/').filter((_, i, all) => /^\{/.test(all[i + 1] ?? ''))
        return (shown?.items && !plural(p)) || above.some((s) => s !== '' && !plural(s))
      }).map(([p]) => [p])),
    ...rule('col-repres', 'a collection is an object with items, an array of objects, and self', answers, (v, path) => {
      const shown = v.content?.['application/json']?.schema?.properties
      const items = shown?.items
      const below = ['content', 'application/json', 'schema']
      return path.at(-3) === 'get' && items && (items.type !== 'array' || items.items?.type !== 'object' || !shown.self) ? [below] : []
    }),
    ...rule('id-name', 'an identifier has a name of its own', parameters, (v) => here(v.in === 'path' && ['id', 'code', 'name', 'key'].includes(v.name))),
    ...rule('path-param', 'a parameter of path or query is lowerCamelCase', parameters, (v) => here(['path', 'query'].includes(v.in) && !lowerCamel.test(v.name))),
    ...rule('sens-dat', 'a national number stands in bodies only', parameters, (v) => here(/ssin|niss|insz/i.test(v.name))),
    ...rule('hdr-case', 'a header is Upper-Kebab-Case', [...parameters, `${answers}.headers`], (v) =>
      typeof v.in === 'string' ? here(v.in === 'header' && !upperKebab.test(v.name)) : keys((k) => !upperKebab.test(k))(v)),
    ...rule('gen-header', 'headers that every operation takes are not described', parameters, (v) =>
      here(v.in === 'header' && /^(BelGov-|Accept|Authorization|Content-Type|Content-Language)/i.test(v.name))),
    ...rule('qry-multi', 'a parameter of many values is repeated, value by value', parameters, (v) =>
      here(v.in === 'query' && v.schema?.type === 'array' && ((v.style ?? 'form') !== 'form' || v.explode === false))),
    ...rule('openapi-opid', 'an operation has an id in lowerCamelCase', operations, (v) => here(!lowerCamel.test(v.operationId ?? ''))),
    ...rule('oas-tags', 'an operation has one tag, which is described and in Title Case', operations, (v, _, root) =>
      here(v.tags?.length !== 1 || !titleCase.test(v.tags[0]) || !root.tags?.some((t) => t.name === v.tags[0] && t.description))),
    ...rule('opbody-req', 'a request body says whether it must be there', `${operations}.requestBody`, (v) => here(typeof v.required !== 'boolean')),
    ...rule('opbody-meth', 'a request that reads or deletes has no body', '$.paths[*][get,head,delete,options].requestBody', () => here(true)),
    ...rule('stat-codes', 'a method answers with the status codes meant for it', `${operations}.responses`, (v, path) =>
      keys((s) => s !== 'default' && !statuses[path.at(-2)].includes(s))(v)),
    ...rule('prb-defaul', 'an operation has a default answer', `${operations}.responses`, (v) => here(!v.default)),
    ...rule('err-problem', 'what fails answers with a problem, and nothing else does', answers, (v, path) => {
      const types = Object.keys(v.content ?? {})
      const health = path.at(-4) === '/health' && last(path) === '503'
      return here(isError(last(path)) ? !health && (types.length !== 1 || types[0] !== problemJSON) : types.includes(problemJSON))
    }),
    ...rule('prb-schema', 'a problem has the schema of problems', `$..content["${problemJSON}"].schema`, (v) =>
      here(!/\/[A-Za-z]*Problem$/.test(v.$ref ?? '')), { resolved: false }),
    ...rule('rep-struct', 'an answer has content when it says so: not with 204, always with 200 to GET', answers, (v, path) =>
      here((last(path) === '204' && v.content) || (last(path) === '200' && !v.content))),
    ...rule('evo-object', 'JSON is an object at the top, and has a schema', `$..content["application/json"]`, (v) => here(v.schema?.type !== 'object')),
    ...rule('oas-comp', 'a component is named in UpperCamelCase', '$.components[schemas,parameters,headers,responses,requestBodies,securitySchemes,examples]', keys((k) => !upperCamel.test(k))),
    ...rule('jsn-naming', 'a property is lowerCamelCase', '$.components.schemas..properties', keys((k) => !lowerCamel.test(k)), { resolved: false }),
    ...rule('jsn-null', 'what has no value is absent and never null', schemas, (v) => here(v.nullable), { resolved: false }),
    ...rule('cod-design', 'a code is lowerCamelCase', schemas, (v) =>
      (v.enum ?? []).flatMap((code, i) => (typeof code !== 'string' || lowerCamel.test(code) ? [] : [['enum', i]])), { resolved: false }),
    ...rule('sch-type', 'a schema has one type, and what it says goes with it', schemas, (v) => {
      const only = { object: ['properties', 'required', 'additionalProperties'], array: ['items', 'minItems', 'maxItems'], string: ['pattern', 'minLength', 'maxLength'] }
      return here(!v.$ref && (typeof v.type !== 'string' || Object.entries(only).some(([type, words]) => v.type !== type && words.some((w) => v[w] !== undefined))))
    }, { resolved: false }),
    ...rule('sch-compose', 'a schema is written out, not composed', schemas, (v) => here(v.allOf || v.anyOf || v.oneOf || v.not || v.discriminator), { resolved: false }),
    ...rule('sch-req', 'what is required is a property', schemas, (v) =>
      (v.required ?? []).flatMap((p, i) => (v.properties?.[p] ? [] : [['required', i]])), { resolved: false }),
    ...rule('oas-rdonly', 'what only the server writes is not required', schemas, (v) =>
      (v.required ?? []).flatMap((p, i) => (v.properties?.[p]?.readOnly ? [['required', i]] : []))),
    ...rule('oas-default', 'what must be there has no default', [...schemas, ...parameters], (v) =>
      v.in !== undefined ? here(v.required && v.schema?.default !== undefined) : Object.keys(v.properties ?? {}).filter((p) => v.required?.includes(p) && v.properties[p].default !== undefined).map((p) => ['properties', p])),
    ...rule('sec-req', 'a scope that is asked for is one of the scheme', [`${operations}.security[*]`, '$.security[*]'], (v, _, root) =>
      Object.entries(v).flatMap(([scheme, scopes]) => {
        const flows = Object.values(root.components?.securitySchemes?.[scheme]?.flows ?? {})
        return scopes.flatMap((s, i) => (flows.length > 0 && flows.every((f) => f.scopes?.[s]) ? [] : [[scheme, i]]))
      })),
    ...rule('hlth-res', 'GET /health answers 200 or 503', '$.paths', (v) => {
      const said = v['/health']?.get?.responses
      return here(!said?.['200'] || !said['503'])
    }),
  },
}
