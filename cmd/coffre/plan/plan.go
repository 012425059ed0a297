// Package plan computes what a vault of a given size needs, from costs that were measured.
// docs/scale.md tells how, and docs/performance.md on which machine.
package plan

import (
	"fmt"
	"math"
)

// Store is where the log lies.
type Store string

const (
	SQLite   Store = "sqlite"
	Postgres Store = "postgres"
)

// Stores are those that a vault can be planned for.
func Stores() []string { return []string{string(SQLite), string(Postgres)} }

// Size says how large a vault is, and how much it is used.
type Size struct {
	Citizens  int64 // from 1 to 10,000 million
	Documents int64 // of a citizen at the first load, from 0 to 10,000
	Changes   int64 // documents issued, updated or revoked, of a citizen a year; from 0 to 10,000
	Accesses  int64 // by organisations, of all citizens a year; from 0 to 10¹²
	Wallets   int64 // times that a citizen opens their wallet in a year, from 0 to 10,000
	Years     int64 // to look ahead, from 1 to 100
	Bytes     int64 // of a document's sealed content on average, from 1 to 262,144
	Peak      int64 // the busiest second over the average one, from 1 to 1,000
	Cores     int64 // of one process, from 1 to 256
	Store     Store
}

// Bounds are the least and the greatest of each number of a size, by its flag.
func (s Size) Bounds() []Bound {
	return []Bound{
		{"citizens", s.Citizens, 1, 10_000_000_000},
		{"documents", s.Documents, 0, 10_000},
		{"changes", s.Changes, 0, 10_000},
		{"accesses", s.Accesses, 0, 1_000_000_000_000},
		{"wallets", s.Wallets, 0, 10_000},
		{"years", s.Years, 1, 100},
		{"bytes", s.Bytes, 1, 262_144},
		{"peak", s.Peak, 1, 1_000},
		{"cores", s.Cores, 1, 256},
	}
}

// Bound is a number of a size and what it may be.
type Bound struct {
	Name            string
	Value, From, To int64
}

// OutOfBounds is a number that no vault has.
type OutOfBounds struct{ Bound }

func (e *OutOfBounds) Error() string {
	return fmt.Sprintf("%s is from %d to %d", e.Name, e.From, e.To)
}

// What one of each thing costs. The machine had two cores, and both programs of a figure were
// on them: the callers', too, so that processor times are upper bounds.
const (
	rowBytes      = 1315 - 1024 // of events.db beside the content: docs/scale.md, a million events
	accessBytes   = 1315 / 2    // an event of an access, taken for half of a document's
	keyBytes      = 281         // of keys.db for a document
	modelBytes    = 1553        // of the read models for a document
	modelAccess   = 417         // for an event of an access
	treeBytes     = 41          // for an event, contained in the read models
	loadRate      = 4800.0      // documents a second by one process of two cores: T2
	newRate       = 1900.0      // citizens met for the first time: T2.newCitizen
	changeMicros  = 374.0       // of processor for a document: T2
	accessMicros  = 432.0       // for an access, two events: T4
	walletMicros  = 376.0       // for a wallet whose keys are not in memory: T3.cold
	rebuildMicros = 73.0        // for an event: docs/scale.md
	verifyMicros  = 7.5         // for an event: T14
	backupRate    = 116_000.0   // events a second: T22
	copyRate      = 12_600.0    // events a second: T22
	resident      = 211.0       // MiB of a process under load: T7
	syncsOfWrite  = 2.0         // durable waits of a document, docs/performance.md; of an access as many at most
	measuredCores = 2.0
	busy          = 0.5 // of a process's cores at the peak; the rest is for garbage, rebuilds and a neighbour's end
)

const (
	year           = 365.25 * 24 * 3600
	sqliteLogTB    = 140.0 // 2³² pages of 32 KiB
	sqliteModelsTB = 17.0  // 2³² pages of 4 KiB, each read model
)

// Rebuild returns how many seconds a rebuild of all read models takes from so many events on so
// many cores. More than two were never measured, and count as two.
func Rebuild(events, cores float64) float64 {
	return events * rebuildMicros / 1e6 / math.Min(cores, measuredCores)
}

// Figure is one line of a plan. Its value is in its unit: "events", "bytes", "1/s", "s", "cores",
// "processes" or "MiB".
type Figure struct {
	Part  string  `json:"part"`
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	From  string  `json:"from,omitempty"` // what measured its cost
}

// Of returns what a vault of a size needs, and in words what a store of that kind cannot do for
// it; *OutOfBounds if a number is none that a vault has.
func Of(s Size) (figures []Figure, warnings []string, err error) {
	for _, b := range s.Bounds() {
		if b.Value < b.From || b.Value > b.To {
			return nil, nil, &OutOfBounds{b}
		}
	}
	citizens := float64(s.Citizens)
	documents := citizens * float64(s.Documents)
	changes := citizens * float64(s.Changes)
	accesses := float64(s.Accesses)
	years := float64(s.Years)

	add := func(part, name string, value float64, unit, from string) {
		figures = append(figures, Figure{Part: part, Name: name, Value: value, Unit: unit, From: from})
	}
	grows := func(name string, load, each float64, unit, from string) float64 {
		end := load + years*each
		add("storage", name+", after the first load", load, unit, from)
		add("storage", name+", each year", each, unit, from)
		add("storage", fmt.Sprintf("%s, after %d years", name, s.Years), end, unit, from)
		return end
	}
	document, content := float64(rowBytes+s.Bytes), float64(s.Bytes)/1024
	// A citizen begins with an event of their own, about half of a document's.
	load, each := citizens+documents, changes+2*accesses
	events := grows("events", load, each, "events", "")
	log := grows("log", documents*document+citizens*accessBytes, changes*document+2*accesses*accessBytes, "bytes", "T7, a million events")
	keys := grows("keys", documents*keyBytes, changes*keyBytes, "bytes", "a million events")
	models := grows("read models", documents*modelBytes*(1+content)/2, changes*modelBytes*(1+content)/2+2*accesses*modelAccess, "bytes", "a million events")
	grows("of these the Merkle tree", load*treeBytes, each*treeBytes, "bytes", "a million events")

	peak := float64(s.Peak) / year
	perSecond := []struct {
		name   string
		rate   float64
		micros float64
		writes float64
	}{
		{"documents", changes * peak, changeMicros, 1},
		{"accesses", accesses * peak, accessMicros, 1},
		{"wallets opened", citizens * float64(s.Wallets) * peak, walletMicros, 0},
	}
	var cores, requests, writes float64
	for _, one := range perSecond {
		add("busiest second", one.name, one.rate, "1/s", "")
		cores += one.rate * one.micros / 1e6
		requests += one.rate
		writes += one.rate * one.writes
	}
	add("busiest second", "processor", cores, "cores", "T2, T3.cold, T4")
	add("busiest second", "syncs of the disk, at most", syncsOfWrite*writes, "1/s", "T2")
	add("busiest second", "keys that Vault unwraps, at most", requests, "1/s", "T9")

	needed := math.Max(1, math.Ceil(cores/(float64(s.Cores)*busy)))
	processes := needed
	if s.Store == Postgres {
		processes++ // one may end
	}
	add("processes", fmt.Sprintf("of %d cores, half busy", s.Cores), processes, "processes", "T11")
	add("processes", "memory of each", resident, "MiB", "T7")

	parallel := math.Min(float64(s.Cores), measuredCores) // more were never measured
	rebuild := func(events float64) float64 { return Rebuild(events, parallel) }
	add("time", "first load by one process", documents/loadRate+citizens/newRate, "s", "T2")
	for _, when := range []struct {
		name   string
		events float64
	}{{"after the first load", load}, {fmt.Sprintf("after %d years", s.Years), events}} {
		add("time", "rebuild of all read models, "+when.name, rebuild(when.events), "s", "a million events")
		add("time", "verification of the log, "+when.name, when.events*verifyMicros/1e6/parallel, "s", "T14")
		add("time", "backup, "+when.name, when.events/backupRate, "s", "T22")
		add("time", "store copy, "+when.name, when.events/copyRate, "s", "T22")
	}

	if s.Store == SQLite {
		if needed > 1 {
			warnings = append(warnings, fmt.Sprintf("one process owns a data directory, and the busiest second needs %.0f: take PostgreSQL", needed))
		}
		if log > sqliteLogTB*1e12 || keys > sqliteModelsTB*1e12 || models > sqliteModelsTB*1e12 {
			warnings = append(warnings, "a file of SQLite ends at 2³² pages, 140 TB of the log and 17 TB of the keys or of one read model: take PostgreSQL")
		}
		if hours := rebuild(events) / 3600; hours > 1 {
			warnings = append(warnings, fmt.Sprintf("when the machine of a data directory is gone, service begins again after backup, copy and a rebuild of some %.1f hours: take PostgreSQL with a replica where that is too long", hours))
		}
	}
	return figures, warnings, nil
}
