package kurrent_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"coffre/eventstore"
	"coffre/eventstore/kurrent"
	"coffre/eventstore/kurrent/kurrenttest"
	"coffre/eventstore/storetest"
)

var ourCategories = kurrent.Options{Categories: []string{"consent", "registry"}}

func prepare(t *testing.T, address string, p kurrent.PrepareOptions) kurrent.Prepared {
	t.Helper()
	found, err := kurrent.Prepare(t.Context(), address, ourCategories, p)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// A server nobody prepared is told of, and left as it is.
func TestPrepareTellsWhatItFinds(t *testing.T) {
	o := kurrenttest.Start(t)
	address := o.Address
	o.Put("orders-1", "x", `{}`)
	found := prepare(t, address, kurrent.PrepareOptions{})
	if found.Records != 0 || found.Head || fmt.Sprint(found.ReadAll) != "[$admins]" || found.Streams != nil || len(found.Done) != 0 || len(found.Doubts) != 3 {
		t.Errorf("%+v", found)
	}
	if o.Len() != 1 {
		t.Errorf("%d events where one was", o.Len())
	}
}

func TestPrepareSetsRights(t *testing.T) {
	o := kurrenttest.Start(t)
	address := o.Address
	o.Put("$$$all", "$metadata", `{"$acl":{"$r":"$admins","$w":["$admins"]},"kept":1}`)
	o.Put("$settings", "x", `{"$systemStreamAcl":{"$r":"$admins"},"$userStreamAcl":{"$r":"$all","$w":"$all"}}`)
	found := prepare(t, address, kurrent.PrepareOptions{User: "coffre", Alone: true})
	if len(found.Done) != 2 || len(found.Doubts) != 0 || fmt.Sprint(found.ReadAll) != "[$admins coffre]" || fmt.Sprint(found.Streams) != "[coffre $admins]" {
		t.Errorf("%+v", found)
	}
	if all := fmt.Sprint(o.Says(t, "$$$all")); all != "map[$acl:map[$r:[$admins coffre] $w:[$admins]] kept:1]" {
		t.Errorf("rights of all: %s", all)
	}
	want := "map[$systemStreamAcl:map[$r:$admins] $userStreamAcl:map[$d:[$admins] $mr:[coffre $admins] $mw:[$admins] $r:[coffre $admins] $w:[coffre $admins]]]"
	if settings := fmt.Sprint(o.Says(t, "$settings")); settings != want {
		t.Errorf("settings: %s", settings)
	}
	before := o.Len()
	if again := prepare(t, address, kurrent.PrepareOptions{User: "coffre", Alone: true}); len(again.Done) != 0 || len(again.Doubts) != 0 {
		t.Errorf("again: %+v", again)
	}
	if o.Len() != before {
		t.Error("the second time something was written")
	}
	if _, err := kurrent.Prepare(t.Context(), address, ourCategories, kurrent.PrepareOptions{Alone: true}); !errors.Is(err, kurrent.ErrAloneWithoutUser) {
		t.Errorf("alone, but who: %v", err)
	}
}

// What somebody told the server to forget of the log's streams is found and lifted;
// others' streams are theirs.
func TestPrepareLiftsTruncation(t *testing.T) {
	o := kurrenttest.Start(t)
	address := o.Address
	s, err := kurrent.Open(t.Context(), address, ourCategories)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, name := range []eventstore.Stream{"consent-1", "consent-2", "consent-3", "registry"} {
		if _, err := s.Append(t.Context(), eventstore.Batch{Stream: name, Expected: eventstore.NoStream, Records: storetest.Records(300 / 2)}); err != nil {
			t.Fatal(err)
		}
	}
	o.Put("$$consent-1", "$metadata", `{"$tb":2,"$acl":{"$r":"x"}}`)
	o.Put("$$consent-2", "$metadata", `{"$maxCount":1}`)
	o.Put("$$consent-2", "$metadata", `{}`) // somebody thought better of it
	o.Put("$$registry", "$metadata", `{"$maxAge":10}`)
	o.Put("$$orders-1", "$metadata", `{"$maxCount":1}`)
	o.Put("$$consent-3", "$metadata", `{"cacheControl":1}`)
	found := prepare(t, address, kurrent.PrepareOptions{})
	if fmt.Sprint(found.Lifted) != "[consent-1 registry]" || found.Records != 600 || !found.Head || len(found.Done) != 2 {
		t.Errorf("%+v", found)
	}
	if !slices.ContainsFunc(found.Doubts, func(d string) bool { return strings.Contains(d, "2 streams of the log were to be truncated") }) {
		t.Errorf("doubts %q", found.Doubts)
	}
	if one, orders := fmt.Sprint(o.Says(t, "$$consent-1")), fmt.Sprint(o.Says(t, "$$orders-1")); one != "map[$acl:map[$r:x]]" || orders != "map[$maxCount:1]" {
		t.Errorf("%s and %s", one, orders)
	}
	if again := prepare(t, address, kurrent.PrepareOptions{}); len(again.Lifted) != 0 || len(again.Done) != 0 {
		t.Errorf("again: %+v", again)
	}
}

func TestPrepareNeedsAnAdministrator(t *testing.T) {
	o := kurrenttest.Start(t)
	address := o.Address
	o.Deny()
	if _, err := kurrent.Prepare(t.Context(), address, ourCategories, kurrent.PrepareOptions{User: "coffre"}); !errors.Is(err, eventstore.ErrUnavailable) || !strings.Contains(err.Error(), "administrator") {
		t.Errorf("%v", err)
	}
}
