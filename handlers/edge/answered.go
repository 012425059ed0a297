package edge

// OnAnswered registers what happens once the answer to the call has been written:
// whole tells whether all of it was handed to the network. It is false when the use
// case refused, when the answer could not be encoded or written, and when writing it
// panicked. A use case registers from its own goroutine, before it returns.
func (c *Call) OnAnswered(then func(whole bool)) { c.onAnswered = append(c.onAnswered, then) }

// Answered runs, once and in their order, the functions that OnAnswered registered.
// The server calls it; in a test of a use case, whoever writes the answer does.
func (c *Call) Answered(whole bool) {
	registered := c.onAnswered
	c.onAnswered = nil
	for _, then := range registered {
		then(whole)
	}
}
