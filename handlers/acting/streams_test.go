package acting_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
)

// Every stream that is written can be named by who asks for its events, and stands in answers
// as the contract says.
func TestEveryStreamHasANameOfTheContract(t *testing.T) {
	document, err := openapi3.NewLoader().LoadFromData(contract.YAML())
	if err != nil {
		t.Fatal(err)
	}
	schema := document.Components.Schemas["StreamName"].Value
	name, id, at := regexp.MustCompile(schema.Pattern), uuid.New(), time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	form, _ := schema.Extensions["x-form"].(string)
	for _, stream := range []eventstore.Stream{
		"registry", acting.ProviderStream, acting.AuditStream(at), acting.CitizenStream(domain.CitizenID{UUID: id}), acting.DocumentStream(domain.DocumentID{UUID: id}),
		acting.ConsentStream(domain.ConsentID{UUID: id}), acting.MandateStream(domain.MandateID{UUID: id}), acting.ReleaseStream(domain.ReleaseID{UUID: id}), acting.PetitionStream(domain.PetitionID{UUID: id}), acting.InvestigationStream(domain.InvestigationID{UUID: id}),
		acting.AccessStream(domain.CitizenID{UUID: id}, at), acting.UnknownStream(domain.AccessID{UUID: id}, at), acting.RefusalStream("0206731645", at),
	} {
		if !name.MatchString(string(stream)) {
			t.Errorf("the contract has no stream of the kind %s", stream.Category())
		}
		if !strings.Contains(form, stream.Category()) {
			t.Errorf("the form in words lacks the kind %s: %q", stream.Category(), form)
		}
	}
}
