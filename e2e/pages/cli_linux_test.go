package pages

import "testing"

// TestCommandsPage: somebody who works in two organizations of an installation elsewhere.
func TestCommandsPage(t *testing.T) {
	t.Parallel()
	play(t, "docs/cli.md", world{
		machines: []string{"here", "hosted"},
		names:    names{all: hostedNames(2)},
		before: func(t *testing.T, all map[string]*machine) {
			here := all["here"]
			here.serves(8080, "hello")
			here.serves(3000, "app")
			host(t, all["hosted"], here)
			all["hosted"].prepare(`mezu orgs create globex --api $API --ca-file $CURL_CA_BUNDLE`)
			here.write("shop/mezu.yaml", "project: shop\ntunnels: {web: {to: 3000}}\n")
			here.write("shop/site/index.html", "a page")
			here.write("shop/logo.png", logo(t))
			all["hosted"].prepare("echo $MEZU_TOKEN >/page/homes/here/shop/token-file; cp $CURL_CA_BUNDLE /page/homes/here/shop/ca.pem")
			here.prepare("mezu login --api https://control.example.com:7443 --org acme; cd shop; mezu projects create shop; mezu environments create production; mezu use shop/production")
		},
		meanwhile: map[string]string{
			"mezu status shop/dev-ada": "leave tunnel dev",
			"mezu trust --ca-file":     "mezu login --api https://control.example.com:7443 --org acme --ca-file ca.pem; mezu use acme/shop/production",
			"mezu use staging": `mezu login --api https://control.example.com:7443 --org globex --ca-file ca.pem
mezu login --profile acme --org acme --api https://control.example.com:7443 --with-token <token-file
for org in acme globex; do mezu projects create shop --org $org || true; mezu environments create staging --org $org; done`,
			"mezu requests list -f": "mezu tunnel 8080 --detach --wait; curl -fsS https://shop-dev-ada-acme.edge.example.com/",
		},
	})
}
