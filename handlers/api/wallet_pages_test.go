package api

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/citizen"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// walletPages follows a wallet to its end and returns its pages; between is called after each
// page but the last.
func (tv *testVault) walletPages(t *testing.T, who edge.Caller, whose domain.CitizenID, p contract.GetWalletParams, between func(page int)) (pages []contract.Wallet) {
	t.Helper()
	for {
		page, _, err := tv.wallet(t, who, whose, p)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, page)
		if (page.Next == "") != (page.NextCursor == "") {
			t.Fatalf("next %q, cursor %q", page.Next, page.NextCursor)
		}
		if page.NextCursor == "" {
			return pages
		}
		p.After = page.NextCursor
		between(len(pages))
	}
}

// The pages of a wallet are the whole of it, own documents first, each document once, as the
// vault knew it at the first page: what is issued, revoked or consented to meanwhile is on none
// of them.
func TestPagesOfAWallet(t *testing.T) {
	tv := newVault(t)
	tv.childCard(t, child(1), 2)
	kid, parent := tv.person(t, child(1)), tv.person(t, 2)
	const own = 7
	var issued []domain.DocumentID
	issue := func() domain.DocumentID {
		return tv.issue(t, homeAffairs, contract.DocumentIssue{
			SSIN: ssin(2), DocumentType: "householdComposition", SourceReference: contract.SourceReference(fmt.Sprint("paper ", len(issued))), Content: contract.Content(household),
		})
	}
	held, _, err := tv.wallet(t, citizenCaller(parent), parent, contract.GetWalletParams{})
	if err != nil || held.NextCursor != "" || held.PageSize != 100 {
		t.Fatalf("%+v %v", held, err)
	}
	before := len(held.Items)
	for range own {
		issued = append(issued, issue())
	}
	tv.waitForReadModels(t)
	tv.waitIdle(t)
	whole, _, err := tv.wallet(t, citizenCaller(parent), parent, contract.GetWalletParams{})
	if err != nil || len(whole.Items) != before+own || whole.Items[len(whole.Items)-1].RepresentedCitizenID != kid {
		t.Fatalf("%+v %v", whole, err)
	}
	for _, size := range []int32{1, 3, 200} {
		looks := len(recorded[access.Authorized](t, tv))
		var looked []int
		pages := tv.walletPages(t, citizenCaller(parent), parent, contract.GetWalletParams{PageSize: size}, func(page int) {
			tv.waitIdle(t)
			looked = append(looked, len(recorded[access.Authorized](t, tv))-looks)
			if page == 1 {
				tv.Clock.Advance(time.Minute)
				issued = append(issued, issue())
				tv.revokeDirectly(t, homeAffairs, issued[min(int(size), own-1)])
				tv.waitForReadModels(t)
			}
		})
		var got []contract.WalletItem
		for i, page := range pages {
			if len(page.Items) > int(size) || i < len(pages)-1 && len(page.Items) != int(size) {
				t.Errorf("page %d of %d has %d items, of %d", i, len(pages), len(page.Items), size)
			}
			got = append(got, page.Items...)
		}
		if fmt.Sprint(got) != fmt.Sprint(whole.Items) {
			t.Errorf("in pages of %d:\n%v\nwant\n%v", size, got, whole.Items)
		}
		tv.waitIdle(t)
		if n := len(recorded[access.Authorized](t, tv)) - looks; n == 0 {
			t.Errorf("the reading of another's document is not on record (%v)", looked)
		}
		if whole, _, err = tv.wallet(t, citizenCaller(parent), parent, contract.GetWalletParams{}); err != nil {
			t.Fatal(err)
		}
	}
}

// P-7: the pages of a merged person lead through the documents of all their lives, and are those
// of the wallet before a merge when they began there.
func TestPagesOfAMergedWallet(t *testing.T) {
	tv := newVault(t)
	for _, n := range []int{1, 1, 2, 1, 2} {
		tv.issue(t, homeAffairs, contract.DocumentIssue{SSIN: ssin(n), DocumentType: "householdComposition", Content: contract.Content(household)})
	}
	tv.waitForReadModels(t)
	c := tv.person(t, 2)
	me := citizenCaller(c)
	before, _, err := tv.wallet(t, me, c, contract.GetWalletParams{PageSize: 1})
	if err != nil || before.NextCursor == "" {
		t.Fatal(before, err)
	}
	tv.merge(t, 1, 2)
	if rest, _, err := tv.wallet(t, me, c, contract.GetWalletParams{After: before.NextCursor}); err != nil || len(rest.Items) != 1 {
		t.Errorf("behind the page from before the merge: %+v %v", rest, err)
	}
	whole, _, err := tv.wallet(t, me, c, contract.GetWalletParams{})
	if err != nil || len(whole.Items) != 5 {
		t.Fatal(whole, err)
	}
	for size := int32(1); size < 6; size++ {
		var got []contract.WalletItem
		for _, page := range tv.walletPages(t, me, c, contract.GetWalletParams{PageSize: size}, func(int) {}) {
			got = append(got, page.Items...)
		}
		if fmt.Sprint(got) != fmt.Sprint(whole.Items) {
			t.Errorf("in pages of %d:\n%v\nwant\n%v", size, got, whole.Items)
		}
	}
}

// each page of another's wallet is on record before it is shown, and the pages end with the
// mandate.
func TestEachPageOfAnothersWalletIsOnRecord(t *testing.T) {
	tv := newVault(t)
	tv.childCard(t, child(1), 2)
	kid, parent := tv.person(t, child(1)), tv.person(t, 2)
	for range 3 {
		tv.childCard(t, child(1))
	}
	tv.waitForReadModels(t)
	me := citizenCaller(parent)
	looks := func() int {
		tv.waitIdle(t)
		return len(recorded[access.Authorized](t, tv))
	}
	p := contract.GetWalletParams{PageSize: 1}
	for n := 1; ; n++ {
		before := looks()
		page, _, err := tv.wallet(t, me, kid, p)
		if err != nil || len(page.Items) != 1 || looks() != before+1 {
			t.Fatalf("%+v %v, %d records", page, err, looks()-before)
		}
		if p.After = page.NextCursor; n == 2 {
			break
		}
	}
	tv.endMandate(t, tv.mandateOf(t, parent, kid), domain.Actor{Role: domain.RoleCitizen, Citizen: parent}, "")
	tv.waitForReadModels(t)
	before := looks()
	if _, _, err := tv.wallet(t, me, kid, p); !errors.Is(err, edge.ErrNoResource) || looks() != before {
		t.Errorf("%v, %d records", err, looks()-before)
	}
}

// A cursor leads through the wallet that it was made for and no other, and what was erased
// meanwhile is not on the next page.
func TestCursorOfAWallet(t *testing.T) {
	tv := newVault(t)
	for n := 1; n <= 2; n++ {
		tv.household(t, n)
		tv.household(t, n)
	}
	tv.waitForReadModels(t)
	ana, ben := tv.person(t, 1), tv.person(t, 2)
	first, _, err := tv.wallet(t, citizenCaller(ana), ana, contract.GetWalletParams{PageSize: 1})
	if err != nil || first.NextCursor == "" {
		t.Fatalf("%+v %v", first, err)
	}
	now := tv.Clock.Now()
	for name, p := range map[string]contract.GetWalletParams{
		"another's":      {After: first.NextCursor},
		"as of a moment": {After: first.NextCursor, AsOf: &now},
		"valid on a day": {After: first.NextCursor, ValidAt: "2026-06-15"},
		"a list's":       {After: tv.Cursor("listMandates", 3)},
		"forged":         {After: "AAAAAAAAACo"},
	} {
		whose := ana
		if name == "another's" {
			whose = ben
		}
		if _, _, err := tv.wallet(t, citizenCaller(whose), whose, p); !errors.Is(err, contract.ErrUnknownPosition) {
			t.Errorf("%s: %v", name, err)
		}
	}
	tv.erase(t, ana, domain.DocumentID{})
	tv.waitIdle(t)
	tv.waitForReadModels(t)
	if n := len(recorded[citizen.KeyDestroyed](t, tv)); n != 1 {
		t.Fatalf("%d erasures", n)
	}
	if page, _, err := tv.wallet(t, citizenCaller(ana), ana, contract.GetWalletParams{After: first.NextCursor, PageSize: 1}); err == nil && len(page.Items) > 0 {
		t.Errorf("shows what was erased: %+v", page)
	}
}
