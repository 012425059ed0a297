package domain

// JSON is one JSON value kept as bytes: the content of a document in the form
// of RFC 8785. The domain never looks inside. nil means absent.
type JSON []byte

// MarshalJSON implements the encoder's interface; the bytes go out as they are.
func (j JSON) MarshalJSON() ([]byte, error) {
	if j == nil {
		return []byte("null"), nil
	}
	return j, nil
}

// UnmarshalJSON keeps a copy of b.
func (j *JSON) UnmarshalJSON(b []byte) error {
	*j = append(JSON(nil), b...)
	return nil
}
