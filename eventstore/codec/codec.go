// Package codec is the written form of events: their permanent names, the JSON
// of their clear and of their personal part, and how old forms are read today.
//
// Invariant: what was written under a name is read back under that name for
// ever. Decoding is strict, so that a program that does not know a member stops
// instead of losing it, and its errors never quote what was stored.
package codec

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	jsonv2 "github.com/go-json-experiment/json"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

// Entry ties a permanent name to a Go type.
type Entry struct {
	name     string
	typ      reflect.Type
	personal int // index of the field Personal; -1 when the event has none
	today    func(any) any
}

// Event is the entry for events stored as the JSON of T. A field
//
//	Personal *X `json:"-"`
//
// is the personal part, stored apart as the JSON of X, sealed.
func Event[T any](name string) Entry {
	typ := reflect.TypeFor[T]()
	e := Entry{name: name, typ: typ, personal: -1}
	if f, ok := typ.FieldByName("Personal"); ok {
		if f.Type.Kind() != reflect.Pointer || f.Tag.Get("json") != "-" || len(f.Index) != 1 {
			panic("codec: " + name + `: Personal must be a pointer with the tag json:"-"`)
		}
		e.personal = f.Index[0]
	}
	return e
}

// Upcast is the entry for an old form Old, read as what it means today. The
// function is given the personal part, too, when it was opened, and passes it on.
func Upcast[Old any](name string, today func(Old) any) Entry {
	e := Event[Old](name)
	e.today = func(v any) any { return today(v.(Old)) }
	return e
}

// Codec implements eventstore.Codec over a fixed catalogue. It is safe for
// concurrent use.
type Codec struct {
	byName map[string]Entry
	byType map[reflect.Type]Entry
}

// New panics on a name or a type listed twice: the catalogue is a literal.
func New(entries ...Entry) *Codec {
	c := &Codec{map[string]Entry{}, map[reflect.Type]Entry{}}
	for _, e := range entries {
		if _, dup := c.byName[e.name]; dup {
			panic("codec: name listed twice: " + e.name)
		}
		if _, dup := c.byType[e.typ]; dup {
			panic("codec: type listed twice: " + e.name)
		}
		c.byName[e.name], c.byType[e.typ] = e, e
	}
	return c
}

// Names returns the permanent names with their types, for tests that demand a
// sample of each.
func (c *Codec) Names() map[string]reflect.Type {
	m := make(map[string]reflect.Type, len(c.byName))
	for n, e := range c.byName {
		m[n] = e.typ
	}
	return m
}

// Encode implements eventstore.Codec. Only current forms are written.
func (c *Codec) Encode(event any) (typ string, clear, personal []byte, err error) {
	e, ok := c.byType[reflect.TypeOf(event)]
	if !ok || e.today != nil {
		return "", nil, nil, fmt.Errorf("codec: %T is not in the catalogue as a current form", event)
	}
	if clear, err = json.Marshal(event); err != nil {
		return "", nil, nil, fmt.Errorf("codec: %s: clear part does not encode", e.name)
	}
	if e.personal < 0 {
		return e.name, clear, nil, nil
	}
	part := reflect.ValueOf(event).Field(e.personal)
	if part.IsNil() {
		return e.name, clear, nil, nil
	}
	if personal, err = json.Marshal(part.Interface()); err != nil {
		return "", nil, nil, fmt.Errorf("codec: %s: personal part does not encode", e.name)
	}
	return e.name, clear, personal, nil
}

// Errors of Decode; what it says besides is the event's name only.
var (
	ErrUnknownType = errors.New("codec: no event of that name in the catalogue")
	ErrMalformed   = errors.New("codec: stored form does not decode")
)

// Decode implements eventstore.Codec.
func (c *Codec) Decode(name string, clear, personal []byte) (any, error) {
	e, ok := c.byName[name]
	if !ok {
		return nil, ErrUnknownType
	}
	v := reflect.New(e.typ)
	if strict(clear, v.Interface()) != nil {
		return nil, fmt.Errorf("%s: clear part: %w", name, ErrMalformed)
	}
	v = v.Elem()
	if personal != nil {
		if e.personal < 0 {
			return nil, fmt.Errorf("%s: has a personal part: %w", name, ErrMalformed)
		}
		part := reflect.New(v.Field(e.personal).Type().Elem())
		if strict(personal, part.Interface()) != nil {
			return nil, fmt.Errorf("%s: personal part: %w", name, ErrMalformed)
		}
		v.Field(e.personal).Set(part)
	}
	if e.today != nil {
		return e.today(v.Interface()), nil
	}
	return v.Interface(), nil
}

// asWritten reads what encoding/json wrote, as that package does but for names, which are
// taken to the letter, and in a quarter of its time.
var asWritten = jsonv2.JoinOptions(jsonv1.DefaultOptionsV1(), jsonv2.RejectUnknownMembers(true), jsonv2.MatchCaseInsensitiveNames(false))

// strict decodes one JSON value with known members only. Its errors may quote
// the value, so they end here.
func strict(data []byte, into any) error { return jsonv2.Unmarshal(data, into, asWritten) }
