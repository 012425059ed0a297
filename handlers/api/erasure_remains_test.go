package api

import (
	"slices"
	"strings"
	"testing"

	"coffre/domain"
	"coffre/domain/mandate"
	"coffre/handlers/contract"
)

// E-3: a certificate says that mandates name both persons for ever, and they do.
func TestCertificateNamesWhatMandatesTell(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 2)
	tv.household(t, 1)
	child := tv.person(t, 1)
	tv.represented(t, child, 2)
	tv.waitIdle(t)
	id := tv.erase(t, child, domain.DocumentID{})
	tv.waitIdle(t)
	c, _ := tv.certificateOf(t, id)
	if !slices.ContainsFunc(c.Remains, func(f contract.RemainingFact) bool {
		return strings.Contains(f.What, "mandates") && strings.Contains(f.What, "the ids of both persons and the kind") && f.Why != ""
	}) {
		t.Errorf("E-3 what stays is %+v", c.Remains)
	}
	granted := recorded[mandate.Granted](t, tv)
	if last := granted[len(granted)-1]; last.Citizen != child || last.Representative != tv.person(t, 2) || last.Kind == "" {
		t.Errorf("a mandate tells %+v: the certificate says too much", last)
	}
}
