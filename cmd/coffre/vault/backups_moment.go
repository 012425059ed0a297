package vault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"

	"coffre/cmd/coffre/files"
	"coffre/eventstore/backup"
	"coffre/eventstore/postgres/pgdb"
	"coffre/eventstore/seal"
	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/sqlite"
	"coffre/eventstore/sqlite/sqlitedb"
	"coffre/handlers/reactors"
	"coffre/handlers/reactors/broker"
	"coffre/handlers/reactors/clock"
	"coffre/handlers/reactors/ebox"
	"coffre/handlers/reactors/webhook"
)

// momentOfFiles is a state of the databases of a data directory.
type momentOfFiles struct {
	keyRing, reactors *sqlitedb.Snapshot
	log               sqlite.Snapshot
}

// openMoment opens what a backup of the directory reads.
func (d DataDir) openMoment(life context.Context) (_ moment, err error) {
	m := &momentOfFiles{}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.Close())
		}
	}()
	if m.keyRing, err = keysdb.OpenSnapshot(life, d.File(KeysFile)); err != nil {
		return nil, err
	}
	if m.reactors, err = sqlitedb.OpenSnapshot(life, d.File(ReactorsFile), sqlitedb.Options{}); err != nil {
		return nil, err
	}
	m.log, err = sqlite.OpenSnapshot(life, string(d))
	return m, err
}

func (m *momentOfFiles) take(context.Context) error {
	return errors.Join(m.reactors.Take(), m.log.Take(), m.keyRing.Take())
}

func (m *momentOfFiles) describe(into *backup.Manifest) error {
	head, err := m.log.Head()
	if err != nil {
		return err
	}
	versions, err := seal.VersionsIn(m.keyRing.Integers)
	into.Log = backup.Log{Records: head.Records, Last: backup.Sum(head.Last), At: head.At}
	into.Keys = backup.Keys(versions)
	return err
}

func (m *momentOfFiles) parts() []backup.Source {
	return []backup.Source{
		{Name: keysPart, WriterTo: once(m.keyRing)},
		{Name: reactorsPart, WriterTo: once(m.reactors)},
		{Name: eventsPart, WriterTo: once(m.log.Snapshot)},
	}
}

// Close implements moment.
func (m *momentOfFiles) Close() error {
	var errs []error
	for _, s := range []*sqlitedb.Snapshot{m.keyRing, m.reactors, m.log.Snapshot} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	return errors.Join(errs...)
}

// once is a snapshot that lets go of its state as soon as it is written.
func once(s *sqlitedb.Snapshot) io.WriterTo { return writtenOnce{s} }

type writtenOnce struct{ s *sqlitedb.Snapshot }

func (o writtenOnce) WriteTo(w io.Writer) (int64, error) {
	n, err := o.s.WriteTo(w)
	return n, errors.Join(err, o.s.Release())
}

// shapesFolder holds empty databases while a backup is begun.
const shapesFolder = "backup.shapes"

// momentOnServers is a state of databases in PostgreSQL. The log needs no transaction: what lies
// up to a position never changes, so its end is all that is chosen.
type momentOnServers struct {
	keyRing, reactors            *pgdb.Snapshot
	shapeOfKeys, shapeOfReactors sqlitedb.Shape
	log                          backup.Records
}

// openMoment opens what a backup of databases in PostgreSQL reads.
func (s *stores) openMoment(life context.Context) (_ moment, err error) {
	m := &momentOnServers{log: backup.Records{Ctx: life, Store: s.log}}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.Close())
		}
	}()
	if m.shapeOfKeys, m.shapeOfReactors, err = s.shapes(life); err != nil {
		return nil, err
	}
	if m.reactors, err = reactors.OpenSnapshot(life, s.at.Keys); err != nil {
		return nil, err
	}
	m.keyRing, err = keysdb.OpenPostgresSnapshot(life, s.at.Keys)
	return m, err
}

// shapes returns how the tables on the server look in files, by making empty ones for a moment.
func (s *stores) shapes(ctx context.Context) (ofKeys, ofReactors sqlitedb.Shape, err error) {
	scratch := s.dir.File(shapesFolder)
	if err := errors.Join(os.RemoveAll(scratch), os.Mkdir(scratch, 0o700)); err != nil {
		return ofKeys, ofReactors, fmt.Errorf("data directory: %w", files.Cause(err))
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	path := filepath.Join(scratch, KeysFile)
	keys, err := keysdb.Open(ctx, path, sqlitedb.Options{})
	if err != nil {
		return ofKeys, ofReactors, err
	}
	if err := errors.Join(migrateKeys(ctx, keys), keys.Close()); err != nil {
		return ofKeys, ofReactors, err
	}
	if ofKeys, err = sqlitedb.ReadShape(ctx, path); err != nil {
		return ofKeys, ofReactors, err
	}
	path = filepath.Join(scratch, ReactorsFile)
	told, err := reactors.Open(ctx, path, sqlitedb.Options{})
	if err != nil {
		return ofKeys, ofReactors, err
	}
	if err := errors.Join(tablesOfReactors(ctx, told), told.Close()); err != nil {
		return ofKeys, ofReactors, err
	}
	ofReactors, err = sqlitedb.ReadShape(ctx, path)
	return ofKeys, ofReactors, err
}

// tablesOfReactors makes every table that a reactor may have.
func tablesOfReactors(ctx context.Context, db *reactors.DB) error {
	return errors.Join(webhook.Tables(ctx, db), ebox.Tables(ctx, db), clock.Tables(ctx, db), broker.Tables(ctx, db))
}

func (m *momentOnServers) take(ctx context.Context) (err error) {
	if err := m.reactors.Take(); err != nil {
		return err
	}
	if m.log.End, err = m.log.Store.Head(ctx); err != nil {
		return err
	}
	return m.keyRing.Take()
}

func (m *momentOnServers) describe(into *backup.Manifest) (err error) {
	if err := m.sameSteps(); err != nil {
		return err
	}
	if into.Log, err = m.log.Head(); err != nil {
		return err
	}
	versions, err := seal.VersionsIn(m.keyRing.Integers)
	into.Keys = backup.Keys(versions)
	return err
}

// sameSteps refuses tables that a program of another release has changed: what they hold may be
// more than this one's.
func (m *momentOnServers) sameSteps() error {
	known, err := keysdb.Steps(m.log.Ctx, migrateKeys)
	if err != nil {
		return err
	}
	done, err := keysdb.StepsIn(m.keyRing)
	if err == nil && !maps.Equal(done, known) {
		err = backup.ErrForm
	}
	return err
}

func (m *momentOnServers) parts() []backup.Source {
	return []backup.Source{
		{Name: keysPart, WriterTo: backup.Tables{From: m.keyRing, Shape: m.shapeOfKeys}},
		{Name: reactorsPart, WriterTo: backup.Tables{From: m.reactors, Shape: m.shapeOfReactors, Own: reactors.OwnTables()}},
		{Name: recordsPart, WriterTo: m.log},
	}
}

// Close implements moment.
func (m *momentOnServers) Close() error {
	var errs []error
	for _, s := range []*pgdb.Snapshot{m.keyRing, m.reactors} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	return errors.Join(errs...)
}
