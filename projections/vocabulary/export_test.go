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

// Explain is CheckContent without its fast way.
func (v *View) Explain(name domain.DocumentType, raw []byte) (domain.JSON, []Issue, error) {
	return v.types[name].schema.explain(raw)
}

// ByLibrary returns the issues that the schema library finds in a content; none when it holds.
func (v *View) ByLibrary(name domain.DocumentType, raw []byte) []Issue {
	value, err := decode(raw)
	if err != nil {
		return []Issue{issueOf(err)}
	}
	if err := v.types[name].schema.compiled.Validate(value); err != nil {
		return issues(err)
	}
	return nil
}
