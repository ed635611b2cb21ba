package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// version is set when a release is built: -ldflags "-X github.com/sipeat/sipeat/shared/cli.version=v1.2.3".
var version = ""

type versionInfo struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"` // the commit, where the build recorded it
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// currentVersion describes this build. Without a release it has Go's version of the commit, or "devel".
func currentVersion() versionInfo {
	v := versionInfo{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if v.Version == "" {
		v.Version = strings.Trim(build.Main.Version, "()") // "(devel)"
	}
	for _, s := range build.Settings {
		if s.Key == "vcs.revision" {
			v.Revision = s.Value
		}
	}
	return v
}

func (a *app) versionCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "version",
		Short:   "Show the version of this program",
		Example: "  sipeat version --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := currentVersion()
			if a.json {
				return a.writeJSON(v, "")
			}
			_, err := fmt.Fprintln(a.stdout, strings.Join(strings.Fields("sipeat "+v.Version+" "+v.Revision+" "+v.Go+" "+v.Platform), " "))
			return err
		},
	}
	a.addJSONFlag(c)
	return c
}
