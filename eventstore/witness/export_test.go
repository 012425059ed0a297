package witness

// Fault has every step of writing the state ask fault first, whose error ends the process there.
func (s *State) Fault(fault func(step string) error) { s.fault = fault }

// MaxRequest bounds a request in bytes.
const MaxRequest = maxRequest
