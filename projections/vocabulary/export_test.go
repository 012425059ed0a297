package vocabulary

import "coffre/domain"

// What the tests look at from outside.
var (
	ReadTriples  = readTriples
	ReadConcepts = readConcepts
)

type Triple = triple

func (t triple) Subject() string  { return t.subject }
func (t triple) Object() string   { return t.object }
func (t triple) Language() string { return t.language }

// Judged says what each of the two ways to judge a content says of it.
func (v *View) Judged(name domain.DocumentType, raw []byte) (fast, slow bool) {
	s := v.types[name].schema
	_, fast = s.fast.check(raw)
	value, err := decode(raw)
	return fast, err == nil && s.compiled.Validate(value) == nil
}

// CheckByLibrary is CheckContent without its fast way.
func (v *View) CheckByLibrary(name domain.DocumentType, raw []byte) (domain.JSON, []Issue, error) {
	return v.types[name].schema.checkByLibrary(raw)
}
