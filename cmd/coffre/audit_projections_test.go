package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"coffre/cmd/coffre/vault"
	"coffre/handlers/contract"
	"coffre/projections"
	"coffre/projections/projectiontest"
)

// compared runs coffre audit projections on the directory.
func (d *drilled) compared(t *testing.T, code int) map[string]projections.Compared {
	t.Helper()
	all := map[string]projections.Compared{}
	for line := range strings.Lines(d.shell(t).must(code, "audit", "projections", string(d.dir), "--json").out) {
		var one projections.Compared
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		all[one.Model] = one
	}
	if len(all) != 8 {
		t.Fatalf("%d read models are compared", len(all))
	}
	return all
}

// models is the place where the read models lie.
func (d *drilled) models() string {
	if d.stores.Log != "" {
		return d.stores.Log
	}
	return d.dir.File("readmodels")
}

// Whoever may write to a read model's tables is found out, on SQLite and on PostgreSQL, while
// the vault is served and while it is not; what was written there is not told.
func TestAlteredReadModelsAreNamed(t *testing.T) {
	tables := map[string]string{
		"wallet": "UPDATE versions SET issuer = 'Canary van den Berg' WHERE from_leaf = (SELECT min(from_leaf) FROM versions)",
		// The consent log tells of a withdrawal that nobody made.
		"consentlog":   "UPDATE consents SET ended_as = 'withdrawn', ended_leaf = granted_leaf + 1",
		"evidence":     "DELETE FROM held WHERE from_leaf = (SELECT max(from_leaf) FROM held)",
		"signals":      "UPDATE signals SET state = 'revoked' WHERE role = 'issuer' AND leaf = (SELECT min(leaf) FROM signals WHERE role = 'issuer')",
		"terms":        "UPDATE terms SET due = 1 WHERE subject = (SELECT subject FROM terms ORDER BY subject LIMIT 1)",
		"erasures":     "UPDATE erasures SET approved_at = 1",
		"transparency": "UPDATE leaves SET hash = event FROM log WHERE leaves.from_leaf = 3",
	}
	for on, stores := range drilledStores {
		t.Run(on, func(t *testing.T) {
			d := newDrilled(t, stores(t))
			served := d.open(t)
			for name, one := range d.compared(t, 0) {
				if one.Wrong != 0 || one.Incomplete != "" || one.Events == 0 {
					t.Errorf("of sound tables, served: %s: %+v", name, one)
				}
			}
			d.comparedByTheVault(t, served)
			if err := served.Close(); err != nil {
				t.Fatal(err)
			}
			for name, statement := range tables {
				if _, err := projectiontest.Meddle(t, d.models(), name).Exec(statement); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
			for name, one := range d.compared(t, exitTamper) {
				_, altered := tables[name]
				if (one.Wrong == 1) != altered || one.Wrong > 1 || altered && one.Differences[0].Type == "" {
					t.Errorf("%s: %+v", name, one)
				}
			}
			said := d.shell(t).must(exitTamper, "audit", "projections", string(d.dir)).out
			for _, want := range []string{"wallet: the row of versions with from_leaf ", "has another issuer; see leaf ", ", document.issued/", "7 rows are not as the log makes them", "consents with from_leaf", "has another ended_leaf, ended_as", "of held with from_leaf"} {
				if !strings.Contains(said, want) {
					t.Errorf("%q is not said: %s", want, said)
				}
			}
			if strings.Contains(said, "Canary") {
				t.Errorf("what was written there is told: %s", said)
			}
		})
	}
}

// comparisonsOf has the vault compare its read models, and returns what it found by read model.
func comparisonsOf(t *testing.T, r *rig) map[string]contract.ComparedModel {
	t.Helper()
	var begun, done contract.ModelComparison
	r.post(t, anyAuditor, "/comparisons", `{"reason":"audit"}`, &begun)
	if err := r.Core.WaitIdle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(r.get(t, anyAuditor, "/comparisons/"+begun.ComparisonID.String()).Body.Bytes(), &done); err != nil {
		t.Fatal(err)
	}
	all := map[string]contract.ComparedModel{}
	for _, m := range done.Models {
		all[m.Projection] = m
	}
	if done.State != contract.ComparisonStateDone || len(all) != 8 {
		t.Fatalf("%+v", done)
	}
	return all
}

// comparedByTheVault alters a row while the vault is served: the vault's own comparison names it,
// and nothing once it is put back; what was written there is not told.
func (d *drilled) comparedByTheVault(t *testing.T, r *rig) {
	t.Helper()
	db := projectiontest.Meddle(t, d.models(), "wallet")
	const first = " WHERE from_leaf = (SELECT min(from_leaf) FROM versions)"
	var issuer string
	if err := db.Get(&issuer, "SELECT issuer FROM versions"+first); err != nil {
		t.Fatal(err)
	}
	set := func(to string) {
		t.Helper()
		if _, err := db.Exec(db.Rebind("UPDATE versions SET issuer = ?"+first), to); err != nil {
			t.Fatal(err)
		}
	}
	set("Canary van den Berg")
	for name, m := range comparisonsOf(t, r) {
		if m.State != contract.ComparedStateCompared || m.Hindrance != "" || m.Size == 0 || m.Taken < m.Size || m.Differing != int64(len(m.Differences)) || (len(m.Differences) == 1) != (name == "wallet") {
			t.Errorf("altered: %s: %+v", name, m)
		}
		for _, row := range m.Differences {
			if row.Divergence != contract.RowDivergenceOther || row.Table != "versions" || !strings.HasPrefix(row.Row, "from_leaf ") || !slices.Equal(row.Columns, []string{"issuer"}) || row.Leaf == nil || row.EventID == nil || !strings.HasPrefix(row.Type, "document.issued/") {
				t.Errorf("altered: %+v", row)
			}
		}
		if text, err := json.Marshal(m); err != nil || strings.Contains(string(text), "Canary") {
			t.Errorf("what was written there is told: %s, %v", text, err)
		}
	}
	set(issuer)
	for name, m := range comparisonsOf(t, r) {
		if m.Differing != 0 || m.Rows == 0 && name == "wallet" {
			t.Errorf("put back: %s: %+v", name, m)
		}
	}
	if left, err := os.ReadDir(d.dir.File("comparing")); err != nil || len(left) != 0 {
		t.Errorf("what was built is left: %v, %v", left, err)
	}
}

// A read model that is not there is no tampering, and what is no vault is a mistake.
func TestWhatCannotBeComparedIsSaid(t *testing.T) {
	d := newDrilled(t, vault.StoresConfig{})
	found, err := filepath.Glob(filepath.Join(d.models(), "evidence.*"))
	if err != nil || len(found) == 0 {
		t.Fatal(found, err)
	}
	for _, name := range found {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	if one := d.compared(t, exitIncomplete)["evidence"]; one.Incomplete == "" {
		t.Errorf("%+v", one)
	}
	if got := d.shell(t).must(exitIncomplete, "audit", "projections", string(d.dir)); !strings.Contains(got.out, "INCOMPLETE") || !strings.Contains(got.out, "no read model of this version is in force") {
		t.Errorf("%+v", got)
	}
	empty := t.TempDir()
	if got := d.shell(t).must(exitFailed, "audit", "projections", empty); !strings.Contains(got.err, "there is no log in ") {
		t.Errorf("%+v", got)
	}
	if made, err := os.ReadDir(empty); err != nil || len(made) > 0 {
		t.Errorf("%v is made, %v", made, err)
	}
	for _, place := range []string{filepath.Join(t.TempDir(), "nothing"), file(t, "file", "x")} {
		if got := d.shell(t).must(exitUsage, "audit", "projections", place); got.err == "" {
			t.Errorf("%s: nothing is said", place)
		}
	}
}
