package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/files"
	"coffre/cmd/coffre/vault"
)

// kurrentStore says how a KurrentDB server that holds the log is asked.
type kurrentStore struct {
	Credentials string // file with NAME:PASSWORD; "": those of the address, or none
	Insecure    bool
	Alone       bool
}

func (k *kurrentStore) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&k.Credentials, "credentials-file", "", "`file` with who asks KurrentDB, one line NAME:PASSWORD")
	f.BoolVar(&k.Insecure, "insecure", false, "ask KurrentDB without TLS, where the address says so, in a network that nobody else is in")
	f.BoolVar(&k.Alone, "alone", false, "the KurrentDB server is for the vault alone: set everybody's rights")
	_ = cmd.MarkFlagFilename("credentials-file") // only for a flag that is not there
}

// preparation returns how the server is asked to prepare itself for that user.
func (k kurrentStore) preparation(role string) (vault.KurrentPreparation, error) {
	o := vault.KurrentPreparation{User: role, Insecure: k.Insecure, Alone: k.Alone}
	if k.Credentials == "" {
		return o, nil
	}
	text, err := os.ReadFile(k.Credentials)
	if err != nil {
		return o, fmt.Errorf("--credentials-file: %w", err)
	}
	name, password, ok := strings.Cut(strings.TrimRight(strings.TrimPrefix(string(text), files.ByteOrderMark), "\r\n"), ":")
	if !ok || name == "" || password == "" || strings.ContainsAny(password, "\r\n") {
		return o, errors.New("--credentials-file: the file has one line NAME:PASSWORD, and nothing else")
	}
	o.Name, o.Password = name, password
	return o, nil
}

// preparedServer is a prepared KurrentDB server as --json prints it.
type preparedServer struct {
	Server  string   `json:"server"`
	Records int      `json:"records"`
	ReadAll []string `json:"mayReadAll"`
	Append  []string `json:"mayAppend"`
	Done    []string `json:"done"`
	Doubts  []string `json:"doubts"`
}

func (p *program) prepareKurrent(ctx context.Context, address, role string, k kurrentStore, asJSON bool) error {
	if k.Alone && role == "" {
		return usage("--alone needs --role: somebody must be left who may append")
	}
	o, err := k.preparation(role)
	if err != nil {
		return err
	}
	found, err := vault.PrepareKurrent(ctx, address, o)
	if err != nil {
		return err
	}
	if asJSON {
		return p.printJSON(preparedServer{
			Server: "KurrentDB", Records: found.Records, ReadAll: found.ReadAll, Append: append([]string{}, found.Streams...),
			Done: append([]string{}, found.Done...), Doubts: append([]string{}, found.Doubts...),
		})
	}
	may := strings.Join(found.Streams, ", ")
	if may == "" {
		may = "as the server has it by default"
	}
	facts := []string{"server", "KurrentDB", "records", strconv.Itoa(found.Records), "may read $all", strings.Join(found.ReadAll, ", "), "may append", may}
	for _, done := range found.Done {
		facts = append(facts, "done", done)
	}
	for _, doubt := range found.Doubts {
		facts = append(facts, "note", doubt)
	}
	return p.facts(facts...)
}
