// Command compose reads a file of services as Docker Compose does, by the library that it reads by,
// with every profile, and says what it found. A file with a mistake is refused.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: compose FILE")
		os.Exit(2)
	}
	if err := read(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "compose:", err)
		os.Exit(1)
	}
}

func read(file string) error {
	options, err := cli.NewProjectOptions([]string{file}, cli.WithProfiles([]string{"*"}))
	if err != nil {
		return err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return err
	}
	for _, s := range project.Services {
		for _, v := range s.Volumes {
			if v.Type != types.VolumeTypeBind {
				continue
			}
			if _, err := os.Stat(v.Source); err != nil {
				return fmt.Errorf("%s mounts what is not there: %w", s.Name, err)
			}
		}
		if s.Build != nil {
			if _, err := os.Stat(s.Build.Context + "/" + s.Build.Dockerfile); err != nil {
				return fmt.Errorf("%s is built of what is not there: %w", s.Name, err)
			}
		}
	}
	fmt.Printf("%s: %d services, %d volumes\n", project.Name, len(project.Services), len(project.Volumes))
	return nil
}
