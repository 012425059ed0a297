package vault

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"

	_ "github.com/ncruces/go-sqlite3/driver" // to ask the SQLite in this binary its version
)

// Versions are those of this program and of the parts it is built of.
type Versions struct {
	Version  string `json:"version"`            // of the module
	Revision string `json:"revision,omitempty"` // of the sources, if the build knew
	Modified bool   `json:"modified,omitempty"` // the sources were not as in the revision
	Go       string `json:"go"`
	SQLite   string `json:"sqlite"`
	Platform string `json:"platform"`
}

// name is the program in a word, with its revision when it is known.
func (v Versions) name() string {
	if v.Revision == "" {
		return "coffre " + v.Version
	}
	return "coffre " + v.Version + " " + v.Revision
}

func ReadVersions(ctx context.Context) (v Versions, err error) {
	v = Versions{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		if info.Main.Version != "" {
			v.Version = info.Main.Version
		}
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				v.Revision = s.Value
			case "vcs.modified":
				v.Modified = s.Value == "true"
			}
		}
	}
	db, err := sql.Open("sqlite3", ":memory:")
	if err != nil {
		return v, fmt.Errorf("open SQLite: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&v.SQLite); err != nil {
		return v, fmt.Errorf("ask SQLite: %w", err)
	}
	return v, nil
}
