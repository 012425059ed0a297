// What the contract of Coffre is linted with: Spectral's own rules and the Belgian ones.
import { oas } from '@stoplight/spectral-rulesets'
import belgif from './belgif.mjs'

export default {
  extends: [oas, belgif],
  rules: {
    'operation-description': 'off', // a summary says it; a description is added where there is more
    'info-contact': 'off', // who runs a vault is its contact, and that differs
  },
}
