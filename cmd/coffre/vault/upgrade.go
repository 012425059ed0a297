package vault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"coffre/eventstore"
	"coffre/eventstore/codec"
	"coffre/eventstore/postgres"
	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/sqlite"
	"coffre/handlers/reactors"
	"coffre/projections"
	"coffre/projections/pgmodels"
	"coffre/projections/sqlitemodels"
)

// Upgrade is what this program would do to a vault that another release served last.
type Upgrade struct {
	Tables []UpgradedTables `json:"tables"`
	Models []UpgradedModel  `json:"readModels"`
	Events int64            `json:"events"`
	// Unknown counts events by a type that this program does not know.
	Unknown []UnknownEvents `json:"unknownEvents"`
	// OlderBeside tells whether a process of the release before can be started beside this
	// program's once that serves; Why not, if so.
	OlderBeside bool   `json:"olderBeside"`
	Why         string `json:"why,omitempty"`
}

// UpgradedTables are those of one part of the databases.
type UpgradedTables struct {
	Part string `json:"part"`
	Form int64  `json:"form"` // that they have; 0: there are none
	// Program is the form that this program brings them to; 0: it does not know them, and leaves
	// them alone. The log in files stays in the form that it has.
	Program int64 `json:"program"`
	// Newer tells that this program is too old for them.
	Newer bool `json:"newer,omitempty"`
}

// UpgradedModel is a read model, and whether this program finds it built.
type UpgradedModel struct {
	Name    string `json:"name"`
	Version int    `json:"version"`
	Built   bool   `json:"built"`
}

// UnknownEvents are those of one type that the catalogue lacks.
type UnknownEvents struct {
	Type   string `json:"type"`
	Events int64  `json:"events"`
}

// Refused reports whether this program would not serve the vault.
func (u Upgrade) Refused() bool {
	return len(u.Unknown) > 0 || slices.ContainsFunc(u.Tables, func(t UpgradedTables) bool { return t.Newer })
}

// Rebuilt returns the names of the read models that this program has to build.
func (u Upgrade) Rebuilt() (names []string) {
	for _, m := range u.Models {
		if !m.Built {
			names = append(names, m.Name)
		}
	}
	return names
}

const (
	partLog      = "log"
	partKeys     = "keys: "
	partReactors = "reactors"
	readPage     = 4096 // records
)

// CheckUpgrade tells what this program would do to a vault, served or not. It changes nothing, and
// needs no key; it reads the whole log, and told gets the number of events read.
func CheckUpgrade(ctx context.Context, dir DataDir, c Config, told func(events int64)) (u Upgrade, err error) {
	at := c.Stores.In(dir)
	u.Unknown = []UnknownEvents{}
	if err := u.lookAtLog(ctx, at); err != nil {
		return u, err
	}
	if err := u.lookAtKeys(ctx, at); err != nil {
		return u, err
	}
	if err := u.lookAtModels(ctx, at); err != nil {
		return u, err
	}
	u.decideBeside(at)
	if slices.ContainsFunc(u.Tables, func(t UpgradedTables) bool {
		return t.Part == partLog && (t.Newer || t.Form < t.Program && OnPostgres(at.Log))
	}) {
		return u, nil // its events cannot be read as it is
	}
	return u, u.readEvents(ctx, at, told)
}

func (u *Upgrade) lookAtLog(ctx context.Context, at StoresConfig) error {
	switch {
	case OnKurrent(at.Log):
		return nil // the server has no tables of ours
	case OnPostgres(at.Log):
		form, serves, program, err := postgres.Form(ctx, at.Log)
		if err == nil && form == 0 {
			err = errNoLog
		}
		u.Tables = append(u.Tables, UpgradedTables{partLog, int64(form), int64(program), serves > program})
		return err
	}
	own, _ := SQLiteDir(at.Log)
	form, newest, err := sqlite.Form(ctx, string(own))
	if err == nil && form == 0 {
		err = errNoLog
	}
	u.Tables = append(u.Tables, UpgradedTables{partLog, form, newest, form > newest})
	return err
}

// errNoLog says that there is no vault to look at.
var errNoLog = errors.New("there is no log at the address of the events")

func (u *Upgrade) lookAtKeys(ctx context.Context, at StoresConfig) error {
	steps, err := keysdb.Steps(ctx, migrateKeys)
	if err != nil {
		return err
	}
	var done map[string]int
	var form, program int64
	if own, inFile := SQLiteDir(at.Keys); inFile {
		done, err = keysdb.Done(ctx, own.File(KeysFile))
		if err == nil {
			form, program, err = reactors.Form(ctx, own.File(ReactorsFile))
		}
	} else {
		done, err = keysdb.DoneOnPostgres(ctx, at.Keys)
		if err == nil {
			form, program, err = reactors.FormOnPostgres(ctx, at.Keys)
		}
	}
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(steps)) {
		u.Tables = append(u.Tables, UpgradedTables{partKeys + name, int64(done[name]), int64(steps[name]), done[name] > steps[name]})
	}
	for _, name := range slices.Sorted(maps.Keys(done)) {
		if _, known := steps[name]; !known {
			u.Tables = append(u.Tables, UpgradedTables{partKeys + name, int64(done[name]), 0, false})
		}
	}
	u.Tables = append(u.Tables, UpgradedTables{partReactors, form, program, form > program})
	return nil
}

func (u *Upgrade) lookAtModels(ctx context.Context, at StoresConfig) error {
	complete := func(p projections.Projection) (bool, error) {
		own, _ := SQLiteDir(at.ReadModels)
		return sqlitemodels.Complete(own.File(modelsFolder), p.Name(), p.Version())
	}
	if OnPostgres(at.ReadModels) {
		versions, err := pgmodels.Complete(ctx, at.ReadModels)
		if err != nil {
			return err
		}
		complete = func(p projections.Projection) (bool, error) {
			return slices.Contains(versions[p.Name()], p.Version()), nil
		}
	}
	for _, p := range newModels().all() {
		built, err := complete(p)
		if err != nil {
			return err
		}
		u.Models = append(u.Models, UpgradedModel{p.Name(), p.Version(), built})
	}
	return nil
}

// decideBeside judges whether processes of two releases can share the databases.
func (u *Upgrade) decideBeside(at StoresConfig) {
	if !OnPostgres(at.Keys) {
		u.Why = "one process owns a data directory"
		return
	}
	var changed []string
	for _, t := range u.Tables {
		if t.Form > 0 && t.Form < t.Program && t.Part != partLog { // tables that are new disturb nobody
			changed = append(changed, t.Part)
		}
	}
	if len(changed) > 0 {
		u.Why = "tables are changed that the release before refuses then: " + strings.Join(changed, ", ")
		return
	}
	u.OlderBeside = true
}

// readEvents counts the events, and those whose form this program does not know.
func (u *Upgrade) readEvents(ctx context.Context, at StoresConfig, told func(int64)) (err error) {
	s := &AuditSource{}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.openLog(ctx, at); err != nil {
		return err
	}
	known, unknown := codec.Catalog.Names(), map[string]int64{}
	var after eventstore.Position
	for {
		page := int64(0)
		for r, err := range eventstore.ReadAhead(ctx, s.log, after, readPage, readAhead) {
			if err != nil {
				return fmt.Errorf("read the log: %w (coffre audit verify tells which record)", err)
			}
			page++
			after = r.Position
			if _, is := known[r.Type]; !is {
				unknown[r.Type]++
			}
		}
		if page == 0 {
			break
		}
		u.Events += page
		told(page)
	}
	for name, n := range unknown {
		u.Unknown = append(u.Unknown, UnknownEvents{name, n})
	}
	slices.SortFunc(u.Unknown, func(a, b UnknownEvents) int { return cmp.Compare(a.Type, b.Type) })
	return nil
}
