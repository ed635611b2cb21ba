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
	"strings"
	"sync"
	"time"

	"github.com/sipeat/sipeat/shared/local"
	"github.com/sipeat/sipeat/shared/notify"
	"github.com/sipeat/sipeat/shared/web/gateway"
)

// checkDisk checks the data folder of `sipeat serve`, if it exists.
func checkDisk(dir string) []finding {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := local.CheckDisk(dir); err != nil {
		return []finding{fault(dir, err.Error(), "free space on this disk; `sipeat serve` recovers without a restart")}
	}
	return []finding{good(dir, "writable, with space left")}
}

// checkIssuer reads the keys that verify the tokens of staff.
func (a *app) checkIssuer(ctx context.Context) []finding {
	auth := a.settings.Web.Auth
	if auth.Mode != "jwt" {
		return nil
	}
	if err := gateway.New(a.settings.Web, a.logger, time.Now).Ping(ctx); err != nil {
		return []finding{fault(auth.JWT.Issuer, err.Error(),
			"staff get 503 until its keys can be read: check the spelling of JWT_ISSUER, and that it can be reached from here")}
	}
	return []finding{good(auth.JWT.Issuer, "its keys can be read")}
}

// checkNotifiers connects to the notification channels, as far as that sends nothing.
func (a *app) checkNotifiers(ctx context.Context) []finding {
	channels, err := a.openNotifier(ctx)
	if err != nil {
		return []finding{fault("NOTIFY", err.Error(), "add the missing settings, or remove the channel from NOTIFY")}
	}
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	found := make([]finding, len(channels))
	var probing sync.WaitGroup
	for i, c := range channels {
		found[i] = good(c.Name, "its settings are complete")
		prober, ok := c.Notifier.(notify.Prober)
		if !ok {
			continue
		}
		probing.Go(func() {
			says, err := prober.Probe(ctx)
			if found[i].Says = says; err != nil {
				found[i] = fault(c.Name, err.Error(), "notifications wait until this channel works")
			}
		})
	}
	probing.Wait()
	return found
}

func checkAPI(ctx context.Context, address string) []finding {
	if address == "" {
		return []finding{{Status: skipped, Says: "pass its address: --api http://HOST:PORT"}}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(address, "/")+"/readyz", nil)
	if err != nil {
		return []finding{fault(address, err.Error(), "for example --api http://127.0.0.1:8080")}
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return []finding{fault(address, "no answer: "+err.Error(), "start `sipeat api`, or find in its log why it ended")}
	}
	defer response.Body.Close()
	var problem struct{ Detail string }
	_ = json.NewDecoder(response.Body).Decode(&problem) // the status is enough
	if response.StatusCode != http.StatusOK {
		return []finding{fault(address, strings.TrimSpace(response.Status+" "+problem.Detail),
			"the API runs, but a part that it needs does not: see the other findings and its log")}
	}
	return []finding{good(address, "ready")}
}

// checkContainers reports the containers of a compose file in this folder, if there are any. It finds nothing elsewhere.
func checkContainers(ctx context.Context) []finding {
	_, err := os.Stat("docker-compose.yml")
	docker, missing := exec.LookPath("docker")
	if err != nil || missing != nil {
		return nil
	}
	out, err := exec.CommandContext(ctx, docker, "compose", "ps", "--all", "--format", "json").Output()
	if err != nil {
		return nil // no engine runs, or this user may not use it
	}
	return judgeContainers(out)
}

// judgeContainers reads the output of `docker compose ps --format json`, one object per line (Compose 2.21 and later).
func judgeContainers(listed []byte) (found []finding) {
	for _, line := range bytes.Split(listed, []byte("\n")) {
		var c struct {
			Service, State, Health string
			ExitCode               int
		}
		if json.Unmarshal(line, &c) != nil {
			continue
		}
		f := good(c.Service, strings.TrimSpace(c.State+" "+c.Health))
		switch {
		case c.State == "exited" && c.ExitCode == 0:
			f.Says = "finished"
		case c.State != "running" || c.Health == "unhealthy":
			f = fault(c.Service, fmt.Sprintf("%s, exit status %d", f.Says, c.ExitCode), "docker compose logs "+c.Service)
		case c.Health == "starting":
			f = note(c.Service, f.Says, "run doctor again in some seconds")
		}
		found = append(found, f)
	}
	return found
}
