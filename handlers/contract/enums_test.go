package contract

import (
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// enumOfAnAct is an enum with its values in order, and why that is the order.
type enumOfAnAct struct {
	values []string
	why    string
}

// heard are the ways by which a citizen hears of something.
var heard = enumOfAnAct{[]string{"eboxEach", "eboxDaily", "none"}, "who hears too often misses nothing"}

// enumsOfActs lists each enum that a request of an act may hold, from the least to the most
// harmful value: generated clients send the first for one that nobody set. An enum whose
// values do no harm is listed as it stands in the contract.
var enumsOfActs = map[string]enumOfAnAct{
	"ErasureRequest.scope":              {[]string{"document", "citizen"}, "a document without an id is refused; a citizen is a whole person"},
	"ReleasePropose.kind":               {[]string{"end", "newLife"}, "an end without its moment is refused; a new life begins at once"},
	"MandateGrant.kind":                 {[]string{"representation", "appointedByCourt", "parentOfMinor"}, "a representation waits for acceptance"},
	"MandateGrant.actions":              {[]string{"read", "consent"}, "who may consent for another lets strangers read"},
	"CorrectionPropose.kind":            {[]string{"merge", "separation", "deathInError"}, "a merge without the other citizen is refused, as is to separate what is not merged; a second person decides"},
	"Frequency.per":                     {[]string{"month", "week", "day"}, "so many uses in a month are fewer than in a day"},
	"ExportCreate.kind":                 {[]string{"consentLog", "register", "refusals", "accessLog", "auditTrail"}, "what citizens decided tells less than who read what of whom, and by which token"},
	"ExportCreate.dialect":              {[]string{"standard", "spreadsheet"}, "the same facts"},
	"ExportCreate.separator":            {[]string{"comma", "semicolon", "tab"}, "the same facts"},
	"IdentityProviderPropose.reason":    {[]string{"replaced", "remapped", "compromised", "gone", "restored"}, "the first three wait for a privacy officer; the others are refused but on the machine"},
	"ExportCreate.format":               {[]string{"csv", "jsonl", "xlsx", "parquet"}, "the same facts"},
	"WebhookSubscribe.signature":        {[]string{"ed25519", "hmac"}, "how deliveries to the caller itself are signed; either is as good"},
	"PetitionAnswer.outcome":            {[]string{"rejected", "upheld"}, "a rejection without its reason is refused; to uphold an objection is to promise to stop"},
	"PreferencesChoice.language":        {[]string{"nl", "fr", "de", "en"}, "the language of messages"},
	"PreferencesChoice.documentNotices": heard, "PreferencesChoice.expiryNotices": heard, "PreferencesChoice.accessNotices": heard, "PreferencesChoice.consentNotices": heard,
	"ShownText.language":          {[]string{"nl", "fr", "de", "en"}, "a text is refused unless it is the registered one of that language"},
	"SubjectAccessRequest.lang":   {[]string{"nl", "fr", "de", "en"}, "the language of labels"},
	"SubjectAccessRequest.format": {[]string{"json", "html", "pdf"}, "the same facts"},
}

// F37: in every enum of an act the least harmful value stands first.
func TestF37TheLeastHarmfulValueStandsFirst(t *testing.T) {
	acts, unused := map[string]*openapi3.Schema{}, map[string]bool{}
	for name := range enumsOfActs {
		unused[name] = true
	}
	eachOperation(t, readContract(t), func(_, _ string, item *openapi3.PathItem, op *openapi3.Operation) {
		isAct := slices.ContainsFunc(slices.Concat(item.Parameters, op.Parameters), func(p *openapi3.ParameterRef) bool { return p.Value.Name == "Idempotency-Key" })
		if !isAct || op.RequestBody == nil {
			return
		}
		if media := op.RequestBody.Value.Content["application/json"]; media != nil {
			reachable(media.Schema, acts)
		}
	})
	if len(acts) < 20 {
		t.Fatalf("only %d objects of acts", len(acts))
	}
	for name, s := range acts {
		for member, p := range s.Properties {
			of := p.Value
			if of.Type.Is("array") {
				of = of.Items.Value
			}
			if len(of.Enum) == 0 {
				continue
			}
			var values []string
			for _, v := range of.Enum {
				values = append(values, v.(string))
			}
			key := name + "." + member
			delete(unused, key)
			if want := enumsOfActs[key]; want.why == "" || !slices.Equal(values, want.values) {
				t.Errorf("%s is %s: list its values from the least harmful, and write the contract so", key, strings.Join(values, ", "))
			}
		}
	}
	for name := range unused {
		t.Errorf("%s is listed and is no enum of an act", name)
	}
}
