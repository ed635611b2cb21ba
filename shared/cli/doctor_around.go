package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sipeat/sipeat/shared/local"
	"github.com/sipeat/sipeat/shared/notify"
	"github.com/sipeat/sipeat/shared/web/gateway"
)

// checkDisk looks at the data folder of `sipeat serve`, where there is one.
func checkDisk(dir string) []finding {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := local.CheckDisk(dir); err != nil {
		return []finding{{Subject: dir, Status: wrong, Says: err.Error(), Remedy: "free space on this disk; `sipeat serve` recovers without a restart"}}
	}
	return []finding{{Subject: dir, Status: well, Says: "writable, with space left"}}
}

// checkIssuer reads the keys by which the API would know whose tokens are good.
func (a *app) checkIssuer(ctx context.Context) []finding {
	callers := a.settings.Web
	if callers.Auth.Mode != "jwt" {
		return nil
	}
	if err := gateway.New(callers, a.logger, time.Now).Ping(ctx); err != nil {
		return []finding{{Subject: callers.Auth.JWT.Issuer, Status: wrong, Says: err.Error(),
			Remedy: "staff are answered 503 until its keys can be read: is JWT_ISSUER right to the letter, and can it be reached from here?"}}
	}
	return []finding{{Subject: callers.Auth.JWT.Issuer, Status: well, Says: "its keys can be read"}}
}

// checkNotifiers goes to those whom people would be told by, as far as that tells nobody anything.
func (a *app) checkNotifiers(ctx context.Context) []finding {
	channels, err := a.openNotifier(ctx)
	if err != nil {
		return []finding{{Subject: "NOTIFY", Status: wrong, Says: err.Error(), Remedy: "set what is missing, or take the channel out of NOTIFY"}}
	}
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	found := make([]finding, len(channels))
	var probing sync.WaitGroup
	for i, c := range channels {
		found[i] = finding{Subject: c.Name, Status: well, Says: "its settings are complete"}
		prober, ok := c.Notifier.(notify.Prober)
		if !ok {
			continue
		}
		probing.Go(func() {
			says, err := prober.Probe(ctx)
			if found[i].Says = says; err != nil {
				found[i] = finding{Subject: c.Name, Status: wrong, Says: err.Error(), Remedy: "nobody is told by it until that is mended: notifications wait for it"}
			}
		})
	}
	probing.Wait()
	return found
}

func checkAPI(ctx context.Context, address string) []finding {
	if address == "" {
		return []finding{{Status: skipped, Says: "say where it is with --api http://HOST:PORT"}}
	}
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(address, "/")+"/readyz", nil)
	if err != nil {
		return []finding{{Subject: address, Status: wrong, Says: err.Error(), Remedy: "for example --api http://127.0.0.1:8080"}}
	}
	answer, err := http.DefaultClient.Do(ask)
	if err != nil {
		return []finding{{Subject: address, Status: wrong, Says: "it does not answer: " + err.Error(), Remedy: "start `sipeat api`, or see why it ended"}}
	}
	defer answer.Body.Close()
	var problem struct{ Detail string }
	_ = json.NewDecoder(answer.Body).Decode(&problem) // the status says enough
	if answer.StatusCode != http.StatusOK {
		return []finding{{Subject: address, Status: wrong, Says: strings.TrimSpace(answer.Status + " " + problem.Detail), Remedy: "the API runs, and what it needs does not: see the other findings and its log"}}
	}
	return []finding{{Subject: address, Status: well, Says: "ready"}}
}

// composeFiles are the names under which docker compose looks for one.
var composeFiles = []string{"compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"}

// checkContainers asks docker compose, where there are both it and something for it in this folder.
func checkContainers(ctx context.Context) []finding {
	there := slices.ContainsFunc(composeFiles, func(name string) bool {
		_, err := os.Stat(name)
		return err == nil
	})
	docker, err := exec.LookPath("docker")
	if !there || err != nil {
		return []finding{{Status: skipped, Says: "there is no docker command, or no compose file in this folder"}}
	}
	services, err := exec.CommandContext(ctx, docker, "compose", "config", "--services").Output()
	var out []byte
	if err == nil {
		out, err = exec.CommandContext(ctx, docker, "compose", "ps", "--all", "--format", "json").Output()
	}
	if err != nil {
		var exit *exec.ExitError
		says := err.Error()
		if errors.As(err, &exit) {
			says = strings.TrimSpace(string(exit.Stderr))
		}
		return []finding{{Status: noted, Says: "docker compose: " + says, Remedy: "if something of it shall run here: does the Docker engine run, and may this user use it?"}}
	}
	return judgeContainers(strings.Fields(string(services)), out)
}

// judgeContainers takes what was never started for no fault, who wants it sees that nothing answers. It reads what `docker compose ps --format json` says: an object per line, of older versions one list.
func judgeContainers(services []string, listed []byte) (found []finding) {
	type container struct {
		Service, State, Health string
		ExitCode               int
	}
	var all []container
	for d := json.NewDecoder(bytes.NewReader(listed)); d.More(); {
		var raw json.RawMessage
		if d.Decode(&raw) != nil {
			break
		}
		var list []container
		var one container
		if json.Unmarshal(raw, &list) == nil {
			all = append(all, list...)
		} else if json.Unmarshal(raw, &one) == nil {
			all = append(all, one)
		}
	}
	for _, c := range all {
		services = slices.DeleteFunc(services, func(s string) bool { return s == c.Service })
		f := finding{Subject: c.Service, Status: well, Says: strings.TrimSpace(c.State + " " + c.Health)}
		switch {
		case c.State == "exited" && c.ExitCode == 0:
			f.Says = "has done its work and ended"
		case c.State != "running" || c.Health == "unhealthy":
			f.Status, f.Says = wrong, fmt.Sprintf("%s, exit status %d", f.Says, c.ExitCode)
			f.Remedy = "docker compose logs " + c.Service
		case c.Health == "starting":
			f.Status, f.Remedy = noted, "look again in some seconds"
		}
		found = append(found, f)
	}
	for _, s := range services {
		found = append(found, finding{Subject: s, Status: noted, Says: "it was not started, or was taken down", Remedy: "if it shall run here: docker compose up --detach " + s})
	}
	return found
}
