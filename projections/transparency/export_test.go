package transparency

import (
	"context"
	"sync"
)

// Round offers a note, and returns what waits until everybody who was asked has answered.
func (w *Witnesses) Round(ctx context.Context, note []byte) (wait func()) {
	var asking sync.WaitGroup
	w.round(ctx, note, &asking)
	return asking.Wait
}
