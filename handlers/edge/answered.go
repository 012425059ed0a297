package edge

// OnAnswered registers a function that runs after the answer to the call was written.
// whole tells whether all of the answer was handed to the network: false when the use case
// refused, when the answer could not be encoded or written, and when writing it panicked.
// A use case registers from its own goroutine, before it returns.
func (c *Call) OnAnswered(then func(whole bool)) { c.onAnswered = append(c.onAnswered, then) }

// Answered runs the functions that OnAnswered registered, once and in their order. The
// server calls it after it wrote the answer; tests of use cases call it in its place.
func (c *Call) Answered(whole bool) {
	registered := c.onAnswered
	c.onAnswered = nil
	for _, then := range registered {
		then(whole)
	}
}
