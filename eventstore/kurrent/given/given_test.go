package given_test

import (
	"path/filepath"
	"strings"
	"testing"

	"coffre/eventstore/kurrent/given"
)

// A program that is not there is told by the name of what names it.
func TestAProgramThatIsNotThereIsTold(t *testing.T) {
	t.Setenv(given.Variable, filepath.Join(t.TempDir(), "absent"))
	if _, err := given.Start(t.Context(), ""); err == nil || !strings.Contains(err.Error(), given.Variable) {
		t.Fatalf("%v", err)
	}
}
