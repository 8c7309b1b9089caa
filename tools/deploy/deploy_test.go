package deploy

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// root is the repository.
const root = "../.."

// drain is how long a Warpgate may take to end (daemon/warpgate.DrainTimeout), in seconds.
const drain = 30

// user is that of the images.
const user = 65532

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "deploy", path))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// manifests decodes the documents of a file, in which no field may be unknown or double, and gives
// the Deployment.
func manifests(t *testing.T, path string) *appsv1.Deployment {
	t.Helper()
	var out *appsv1.Deployment
	for _, text := range bytes.Split(read(t, path), []byte("\n---\n")) {
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal(text, &kind); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		into, ok := map[metav1.TypeMeta]any{
			{APIVersion: "apps/v1", Kind: "Deployment"}:                 &appsv1.Deployment{},
			{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"}: &networkingv1.NetworkPolicy{},
			{APIVersion: "policy/v1", Kind: "PodDisruptionBudget"}:      &policyv1.PodDisruptionBudget{},
		}[kind]
		if !ok {
			t.Fatalf("%s has a %v", path, kind)
		}
		if err := yaml.UnmarshalStrict(text, into); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if d, ok := into.(*appsv1.Deployment); ok {
			out = d
		}
	}
	if out == nil {
		t.Fatalf("%s has no Deployment", path)
	}
	return out
}

// TestKubernetes: the manifests are what Kubernetes reads, and say what they are to.
func TestKubernetes(t *testing.T) {
	for _, path := range []string{"kubernetes/sidecar.yaml", "kubernetes/warpgate.yaml"} {
		d := manifests(t, path)
		pod := d.Spec.Template.Spec
		for k, v := range d.Spec.Selector.MatchLabels {
			if d.Spec.Template.Labels[k] != v {
				t.Errorf("%s: the selector does not select the pod", path)
			}
		}
		s := pod.SecurityContext
		if s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || *s.RunAsUser != user || *s.FSGroup != user || *s.FSGroupChangePolicy != corev1.FSGroupChangeOnRootMismatch ||
			s.SeccompProfile == nil || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault || pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
			t.Errorf("%s: %+v", path, s)
		}
		longest := int64(drain)
		for _, c := range pod.Containers {
			s := c.SecurityContext
			if s == nil || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem ||
				s.Capabilities == nil || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) || len(s.Capabilities.Add) > 0 || s.Privileged != nil {
				t.Errorf("%s: %s: %+v", path, c.Name, s)
			}
			if c.Name == "warpgate" {
				container(t, path, pod, c)
				continue
			}
			// The workload outlives the drain of its Warpgate.
			if c.Lifecycle == nil || c.Lifecycle.PreStop == nil || c.Lifecycle.PreStop.Sleep == nil || c.Lifecycle.PreStop.Sleep.Seconds <= drain {
				t.Errorf("%s: %s does not wait for the drain", path, c.Name)
			} else {
				longest = max(longest, c.Lifecycle.PreStop.Sleep.Seconds)
			}
		}
		if grace := pod.TerminationGracePeriodSeconds; grace == nil || *grace <= longest {
			t.Errorf("%s: the pod is killed before the drain has ended", path)
		}
	}
}

// container checks the one of the Warpgate: its token comes from a file alone, its probes are those
// that it answers, and what it keeps is in a volume that it takes.
func container(t *testing.T, path string, pod corev1.PodSpec, c corev1.Container) {
	t.Helper()
	if len(c.Env) > 0 || strings.Contains(strings.Join(c.Args, " "), "--token=") || !slices.Contains(c.Args, "--health-addr=:8081") {
		t.Errorf("%s: %q, %v", path, c.Args, c.Env)
	}
	for name, p := range map[string]*corev1.Probe{"/livez": c.LivenessProbe, "/readyz": c.ReadinessProbe} {
		if p == nil || p.HTTPGet == nil || p.HTTPGet.Path != name || p.HTTPGet.Port.StrVal != c.Ports[0].Name || c.Ports[0].ContainerPort != 8081 {
			t.Errorf("%s: %s: %+v", path, name, p)
		}
	}
	volumes := map[string]corev1.Volume{}
	for _, v := range pod.Volumes {
		volumes[v.Name] = v
	}
	for _, m := range c.VolumeMounts {
		switch v := volumes[m.Name]; {
		case slices.Contains(c.Args, "--token-file="+m.MountPath+"/token"):
			if v.Secret == nil || *v.Secret.DefaultMode != 0o400 || !m.ReadOnly {
				t.Errorf("%s: %+v", path, v)
			}
		case slices.Contains(c.Args, "--state="+m.MountPath):
			if v.Ephemeral == nil && v.PersistentVolumeClaim == nil {
				t.Errorf("%s: the Warpgate refuses %+v for its state", path, v)
			}
		default:
			t.Errorf("%s: %s is used by nobody", path, m.Name)
		}
	}
	if len(c.VolumeMounts) != 2 || c.Resources.Limits.Memory().IsZero() {
		t.Errorf("%s: %+v", path, c)
	}
}

// project loads a file of Compose as docker compose does.
func project(t *testing.T, path string) *types.Project {
	t.Helper()
	p, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{WorkingDir: t.TempDir(), Environment: types.Mapping{"MEZU_API": "https://control.example.com:7443"},
		ConfigFiles: []types.ConfigFile{{Filename: path, Content: read(t, path)}}}, func(o *loader.Options) { o.SkipResolveEnvironment = true })
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return p
}

// TestCompose: the files are what Compose reads, and say what they are to.
func TestCompose(t *testing.T) {
	for path, name := range map[string]string{"compose.yaml": "warpgate", "compose.mezusphere.yaml": "mezusphere"} {
		p := project(t, path)
		s := p.Services[name]
		if s.User != "65532:65532" || !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || len(s.CapAdd) > 0 || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") || s.Privileged || s.NetworkMode != "" {
			t.Errorf("%s: %+v", path, s)
		}
		if s.StopGracePeriod == nil || time.Duration(*s.StopGracePeriod) <= drain*time.Second || len(s.Volumes) != 1 || !slices.Contains([]string(s.Command), "--state="+s.Volumes[0].Target) {
			t.Errorf("%s: %+v, %v", path, s.StopGracePeriod, s.Volumes)
		}
	}
	p := project(t, "compose.yaml")
	gate := p.Services["warpgate"]
	if len(gate.Ports) > 0 || len(gate.Environment) > 0 || len(gate.Secrets) != 1 || !slices.Contains([]string(gate.Command), "--token-file=/run/secrets/"+gate.Secrets[0].Source) {
		t.Errorf("%+v", gate)
	}
	// The workload is where nothing comes in or goes out, but for the Warpgate.
	workload := p.Services["workload"]
	if _, waits := gate.DependsOn["workload"]; !waits || len(workload.Ports) > 0 || len(workload.Networks) != 1 || !bool(p.Networks["inside"].Internal) {
		t.Errorf("%+v", workload)
	}
}

// TestPage: what the commands of docs/deploy.md name that nobody can run here is there, under that name.
func TestPage(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs", "deploy.md"))
	if err != nil {
		t.Fatal(err)
	}
	var commands strings.Builder
	for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllSubmatch(page, -1) {
		commands.WriteString(strings.ReplaceAll("\n"+string(block[1]), "\n$ ", "\n"))
	}
	text := commands.String()
	files := regexp.MustCompile(`\bdeploy/(\S+)`).FindAllStringSubmatch(text, -1)
	for _, m := range files {
		read(t, m[1])
	}
	secret := regexp.MustCompile(`(?m)^kubectl create secret generic (\S+) --from-file=(\S+)=key$`).FindStringSubmatch(text)
	program := regexp.MustCompile(`--build-arg (\w+)=warpgate `).FindStringSubmatch(text)
	if len(files) != 4 || secret == nil || program == nil || !strings.HasPrefix(text, "\nMEZU_API=") {
		t.Fatalf("%s", text)
	}
	for _, path := range []string{"kubernetes/sidecar.yaml", "kubernetes/warpgate.yaml"} {
		pod := manifests(t, path).Spec.Template.Spec
		for _, v := range pod.Volumes {
			if v.Secret != nil && v.Secret.SecretName != secret[1] {
				t.Errorf("%s: the secret is %s", path, v.Secret.SecretName)
			}
		}
		if warpgate := pod.Containers[len(pod.Containers)-1]; !strings.Contains(strings.Join(warpgate.Args, " ")+" ", "/"+secret[2]+" ") {
			t.Errorf("%s: %q has no %s", path, warpgate.Args, secret[2])
		}
	}
	if !strings.Contains(string(read(t, "Dockerfile")), "\nARG "+program[1]+"=") {
		t.Errorf("the Dockerfile takes no %s", program[1])
	}
}

// TestDockerfile: the last stage is a program and its files, and the command of the first builds one.
func TestDockerfile(t *testing.T) {
	text := string(read(t, "Dockerfile"))
	_, last, ok := strings.Cut(text, "\nFROM scratch\n")
	if !ok || strings.Contains(last, "FROM ") || strings.Contains(last, "RUN ") || !strings.Contains(last, "USER 65532:65532\n") || !strings.Contains(last, "ENTRYPOINT [\"/program\"]\n") {
		t.Errorf("%s", last)
	}
	// The one folder that the user may write to is where each program looks for its state.
	if !strings.Contains(text, "chown 65532:65532 /image/var/lib/$PROGRAM\n") || !strings.Contains(last, "ARG PROGRAM=warpgate\n") || !strings.Contains(last, "\nENV HOME=/var/lib/$PROGRAM ") {
		t.Errorf("%s", text)
	}
	for _, list := range []string{"deploy/Dockerfile.dockerignore", ".gitignore"} {
		if ignored, err := os.ReadFile(filepath.Join(root, list)); err != nil || !strings.Contains(string(ignored), "deploy/token\n") {
			t.Errorf("%s lets in the key of compose.yaml: %s, %v", list, ignored, err)
		}
	}
	build := regexp.MustCompile(`(?m)^RUN (CGO_ENABLED=0 .*go build .*)$`).FindStringSubmatch(text)
	if build == nil {
		t.Fatal("it builds nothing")
	}
	program := filepath.Join(t.TempDir(), "program")
	cmd := exec.Command("sh", "-c", strings.Replace(build[1], "/image/program", program, 1))
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "PROGRAM=warpgate", "VERSION=1.2.3", "TARGETOS=", "TARGETARCH=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := exec.Command(program, "--version").CombinedOutput(); err != nil || string(out) != "warpgate 1.2.3\n" {
		t.Errorf("%s, %v", out, err)
	}
}
