package registry

// What the tests look at from outside.
var (
	ReadTriples  = readTriples
	ReadConcepts = readConcepts
)

type Triple = triple

func (t triple) Subject() string  { return t.subject }
func (t triple) Object() string   { return t.object }
func (t triple) Language() string { return t.language }
