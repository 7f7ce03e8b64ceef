package traffic

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"net/textproto"
	"net/url"
	"strings"
	"time"

	"github.com/crenel-project/crenel/demo/harbour"
)

// customers come two to five times a day, on the web or on the phone.
func (g *day) customers() {
	for n := range Residents {
		a := harbour.Resident(n + 1)
		if a.Role == "customer" {
			g.customerDay(a, n)
		}
	}
	for n, name := range []string{"alice", "bob", "carol"} {
		a, _ := harbour.AccountNamed(name)
		g.customerDay(a, 500+n)
	}
}

func (g *day) customerDay(a harbour.Account, n int) {
	kind := "web"
	if n%2 == 1 {
		kind = "mobile"
	}
	p := g.person(a.Name, kind, a.Email, n)
	switch n % 6 {
	case 0:
		p.shopNight(n)
	case 3:
		p.at = g.between(30*time.Minute, 4*time.Hour)
		p.logIn()
		p.book()
	}
	visits := 3 + g.rnd.IntN(3)
	for v := range visits {
		span := 16 * time.Hour / time.Duration(visits)
		p.at = 6*time.Hour + time.Duration(v)*span + g.between(0, span-50*time.Minute)
		p.visit(v)
	}
}

// shopNight is a shop's own system, handing in the day's orders.
func (p *person) shopNight(n int) {
	kind := p.kind
	p.kind = "system"
	p.at = p.g.between(5*time.Minute, 4*time.Hour)
	p.logIn()
	p.addCard()
	count := 4 + p.g.rnd.IntN(8)
	var ids, codes []string
	c := p.call("POST", "/v2/parcels/import", 201)
	c.Header.Set("Content-Type", "application/xml")
	var xml strings.Builder
	xml.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n<manifest>\n")
	for i := range count {
		where := p.g.rnd.IntN(len(cities))
		fmt.Fprintf(&xml, "  <parcel><service>economy</service><weight_grams>%d</weight_grams><recipient>%s</recipient><line1>%s</line1><city>%s</city><postcode>%s</postcode><country>%s</country><reference>SHOP-%d-%d</reference></parcel>\n",
			200+p.g.rnd.IntN(9000), escape(pick(p.g, people)), escape(pick(p.g, streets)), escape(cities[where]), postcodes[where], countries[where], n, i)
		id, code := p.g.fresh("parcel"), p.g.fresh("code")
		ids, codes = append(ids, id), append(codes, code)
		c.save(id, fmt.Sprintf("/items/%d/id", i)).save(code, fmt.Sprintf("/items/%d/tracking_code", i))
	}
	xml.WriteString("</manifest>\n")
	c.Body = xml.String()
	for i := range ids {
		p.payAndDispatch(ids[i], codes[i])
	}
	p.batch(ids)
	p.kind = kind
}

func escape(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;").Replace(text)
}

func (p *person) batch(ids []string) {
	refs := make([]string, len(ids))
	for i, id := range ids {
		refs[i] = saved(id)
	}
	c := p.call("POST", "/v2/parcels/batch")
	c.Header.Set("Content-Type", "application/json")
	c.Body = `{"ids":[` + strings.Join(refs, ",") + `]}`
}

// visit is one session: what people look at each time, and one or two errands.
func (p *person) visit(v int) {
	if p.kind == "mobile" && v > 0 && p.g.chance(30) {
		// The app tries the token of hours ago first; with jwt-no-expiry open, it still works.
		p.call("GET", "/v2/me", 401, 200)
	}
	p.logIn()
	p.call("GET", "/v2/me")
	if p.kind == "mobile" {
		p.call("POST", "/v2/session/refresh").save("token."+p.name, "/access_token")
	}
	p.call("GET", "/v2/parcels?page_size="+pick(p.g, []string{"10", "20", "50", "100"})+pick(p.g, []string{"", "&sort=-created_at", "&sort=status", "&status=delivered", "&page=2"}))
	for range 3 + p.g.rnd.IntN(3) {
		p.errand(v)
	}
	if p.g.chance(40) {
		p.call("POST", "/v2/logout", 204)
	}
}

func (p *person) errand(v int) {
	switch roll := p.g.rnd.IntN(100); {
	case roll < 26:
		p.book()
	case roll < 44:
		p.lookAround()
	case roll < 54:
		p.call("GET", "/v2/search?q="+url.QueryEscape(pick(p.g, searches)))
		p.call("POST", "/v2/parcels/search").json(pick(p.g, []object{{"status": "booked"}, {"country": "IE", "service": "economy"}, {"city": "L'Aquila"}, {"city": "'s-Hertogenbosch"}}))
	case roll < 64:
		p.addresses()
	case roll < 72:
		p.invoices(v)
	case roll < 80:
		p.money(v)
	case roll < 86:
		p.webhooks()
	case roll < 92:
		p.uploads()
	case roll < 96:
		p.profile()
	default:
		p.mistakes()
	}
}

func (p *person) lookAround() {
	p.call("GET", "/v2/depots")
	p.call("GET", fmt.Sprintf("/v2/depots/%d", 1+p.g.rnd.IntN(6)))
	p.call("GET", "/v2/company/members")
	p.call("GET", "/v2/label-templates?name="+pick(p.g, []string{"standard.txt", "express.txt"}))
	if len(p.own) > 0 {
		id := saved(pick(p.g, p.own))
		p.call("GET", "/v2/parcels/"+id+"?expand="+pick(p.g, []string{"events", "notes", "events,notes"}))
		p.call("GET", "/v2/parcels/"+id+"/notes")
		c := p.call("POST", "/v2/messages/preview")
		c.json(object{"parcel_id": 0, "template": pick(p.g, wordings)})
		c.Body = strings.Replace(c.Body, `"parcel_id":0`, `"parcel_id":`+id, 1)
	}
}

func (p *person) parcelBody() object {
	where := p.g.rnd.IntN(len(cities))
	body := object{
		"service": pick(p.g, []string{"economy", "standard", "express"}), "weight_grams": 100 + p.g.rnd.IntN(29_000),
		"recipient":   object{"name": pick(p.g, people)},
		"destination": object{"line1": pick(p.g, streets), "city": cities[where], "postcode": postcodes[where], "country": countries[where]},
	}
	if p.g.chance(50) {
		body["recipient"] = object{"name": pick(p.g, people), "phone": fmt.Sprintf("+4915%08d", p.g.rnd.IntN(1e8)), "email": fmt.Sprintf("o'neil+%d@post.example", p.g.rnd.IntN(1000))}
		body["declared_value_cents"] = p.g.rnd.IntN(90_000)
		body["reference"] = fmt.Sprintf("PO-%d/%d", p.g.rnd.IntN(10_000), p.g.rnd.IntN(9))
	}
	return body
}

// book is the whole way: price, booking, payment, hand-over, label, link, note.
func (p *person) book() {
	p.call("POST", "/v2/quotes").json(object{"service": "standard", "weight_grams": 100 + p.g.rnd.IntN(20_000), "country": pick(p.g, countries), "declared_value_cents": p.g.rnd.IntN(50_000)})
	id, code := p.g.fresh("parcel"), p.g.fresh("code")
	p.call("POST", "/v2/parcels", 201).json(p.parcelBody()).save(id, "/id").save(code, "/tracking_code")
	p.own = append(p.own, id)
	if p.g.chance(8) {
		p.call("DELETE", "/v2/parcels/"+saved(id), 204)
		return
	}
	if p.g.chance(30) {
		p.call("PATCH", "/v2/parcels/"+saved(id)).json(object{"recipient": object{"name": pick(p.g, people)}, "reference": "PO-CHANGED-1"})
	}
	if p.g.chance(50) {
		note := p.g.fresh("note")
		p.call("POST", "/v2/parcels/"+saved(id)+"/notes", 201).json(object{"text": pick(p.g, remarks)}).save(note, "/id")
		p.call("GET", "/v2/parcels/"+saved(id)+"/notes/"+saved(note))
	}
	if len(p.cards) == 0 {
		p.addCard()
	}
	p.payAndDispatch(id, code)
	p.call("POST", "/v2/parcels/"+saved(id)+"/label").json(object{"template": pick(p.g, []string{"standard", "express"}), "file_name": fmt.Sprintf("label-%d.txt", p.g.rnd.IntN(1000))})
	if p.g.chance(40) {
		link := p.g.fresh("link")
		p.call("POST", "/v2/parcels/"+saved(id)+"/share", 201).json(object{"email": "friend." + fmt.Sprint(p.g.rnd.IntN(500)) + "@post.example", "subject": pick(p.g, subjects)}).save(link, "/token")
		p.call("GET", "/v2/shared?token="+saved(link)).anonymous()
	}
}

func (p *person) addCard() {
	card := p.g.fresh("card")
	p.call("POST", "/v2/cards", 201).json(object{"number": pick(p.g, []string{"4242424242424242", "5555555555554444", "4000056655665556", "2223003122003222"}), "holder": pick(p.g, people), "expiry": "0" + fmt.Sprint(1+p.g.rnd.IntN(9)) + "/29"}).save(card, "/id")
	p.cards = append(p.cards, card)
}

func (p *person) payAndDispatch(id, code string) {
	payment := p.g.fresh("payment")
	p.call("POST", "/v2/parcels/"+saved(id)+"/payment", 201).json(object{"card_id": saved(p.cards[0])}).save(payment, "/payment_id")
	if p.g.chance(4) {
		p.call("POST", "/v2/parcels/"+saved(id)+"/payment", 409).json(object{"card_id": saved(p.cards[0])}) // clicked twice
	}
	p.call("POST", "/v2/parcels/"+saved(id)+"/dispatch").json(object{"payment_id": saved(payment), "depot_id": 1 + p.g.rnd.IntN(6)})
	d := dispatched{p.at, id, code}
	p.g.onTheWay = append(p.g.onTheWay, d)
	p.g.loose = append(p.g.loose, d)
}

func (p *person) addresses() {
	where := p.g.rnd.IntN(len(cities))
	body := object{"label": pick(p.g, []string{"Home", "Office", "Grandma's", "Table & Chair store"}), "line1": pick(p.g, streets), "city": cities[where], "postcode": postcodes[where], "country": countries[where]}
	id := p.g.fresh("address")
	p.call("GET", "/v2/addresses?page_size=100")
	p.call("POST", "/v2/addresses", 201).json(body).save(id, "/id")
	p.call("GET", "/v2/addresses/"+saved(id))
	body["line2"] = "c/o " + pick(p.g, people)
	p.call("PUT", "/v2/addresses/"+saved(id)).json(body)
	if p.g.chance(50) {
		p.call("DELETE", "/v2/addresses/"+saved(id), 204)
	}
}

func (p *person) invoices(v int) {
	if strings.HasPrefix(p.name, "visitor") {
		p.call("GET", "/v2/invoices")
		return
	}
	id := p.g.fresh("invoice")
	p.call("GET", "/v2/invoices?page_size=12").save(id, "/items/8/id")
	p.call("GET", "/v2/invoices/"+saved(id))
	p.call("GET", "/v2/payments/return?next=/app/invoices", 302).anonymous()
	if len(p.cards) > 0 && v == 0 {
		// A colleague may have paid it before.
		p.call("POST", "/v2/invoices/"+saved(id)+"/payment", 200, 409).json(object{"card_id": saved(p.cards[0])})
	}
	p.call("GET", "/v2/cards")
}

func (p *person) money(v int) {
	p.call("GET", "/v2/wallet")
	if p.asked > 0 && p.at-p.asked < time.Hour {
		return // nobody honest redeems or withdraws twice in an hour
	}
	p.asked = p.at
	if v == 1 {
		// The code in the newsletter works once; some try it again another day.
		p.call("POST", "/v2/wallet/coupons", 200, 409).json(object{"code": "HARBOUR10"})
	}
	if v == 2 && p.g.chance(25) && !strings.HasPrefix(p.name, "visitor") {
		p.call("POST", "/v2/wallet/payouts", 201).json(object{"amount_cents": 100 + p.g.rnd.IntN(400), "iban": "DE89370400440532013000"})
	}
}

func (p *person) webhooks() {
	id := p.g.fresh("hook")
	p.call("GET", "/v2/webhooks")
	p.call("POST", "/v2/webhooks", 201).json(object{"url": pick(p.g, hooks), "events": []string{"parcel.delivered", "parcel.dispatched"}}).save(id, "/id")
	if p.g.chance(60) {
		p.call("POST", "/v2/webhooks/"+saved(id)+"/test")
	}
	if p.g.chance(60) {
		p.call("DELETE", "/v2/webhooks/"+saved(id), 204)
	}
}

// png begins as every PNG does; what follows is noise, as an image is to a filter.
func (g *day) png(size int) string {
	b := []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x02\x00\x00\x00\x02\x00\x08\x06\x00\x00\x00")
	for len(b) < size {
		b = append(b, byte(g.rnd.Uint32()))
	}
	// What looks like a variable of ours in the noise is not one.
	return strings.ReplaceAll(string(b), "${", "$ ")
}

func (p *person) upload(parcel, kind, name, contentType, content string) string {
	id := p.g.fresh("upload")
	var buf bytes.Buffer
	w := multipart.NewWriter(&buf)
	boundary := fmt.Sprintf("----HarbourForm%016x", p.g.rnd.Uint64())
	head := textproto.MIMEHeader{"Content-Disposition": {fmt.Sprintf(`form-data; name="file"; filename="%s"`, name)}, "Content-Type": {contentType}}
	err := w.SetBoundary(boundary)
	if err == nil {
		err = w.WriteField("kind", kind)
	}
	if err == nil {
		err = w.WriteField("parcel_id", saved(parcel))
	}
	if err == nil {
		part, perr := w.CreatePart(head)
		err = perr
		if err == nil {
			_, err = part.Write([]byte(content))
		}
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(err) // a bytes.Buffer takes everything, and the boundary is valid
	}
	c := p.call("POST", "/v2/uploads", 201).save(id, "/id")
	c.Header.Set("Content-Type", "multipart/form-data; boundary="+boundary)
	c.Body = buf.String()
	return id
}

func (p *person) uploads() {
	if len(p.own) == 0 {
		return
	}
	var id string
	if p.g.chance(50) {
		id = p.upload(pick(p.g, p.own), "customs", "invoice-1.pdf", "application/pdf", "%PDF-1.7\n1 0 obj << /Title (Union rates; select table) >> endobj\n%%EOF\n")
	} else {
		id = p.upload(pick(p.g, p.own), "label", "label_2.png", "image/png", p.g.png(1000+p.g.rnd.IntN(20_000)))
	}
	p.call("GET", "/v2/uploads/"+saved(id)+"/content")
	p.call("GET", "/v2/uploads?page_size=50")
}

func (p *person) profile() {
	if p.g.chance(70) {
		p.call("PATCH", "/v2/me").json(object{"name": pick(p.g, people), "phone": fmt.Sprintf("+4930%07d", p.g.rnd.IntN(1e7))})
		return
	}
	old := p.g.password[p.name]
	if old == "" {
		a, _ := harbour.AccountNamed(p.name)
		old = a.Password
	}
	fresh := fmt.Sprintf("union'select--%d %s!", p.g.rnd.IntN(1000), pick(p.g, cities))
	p.call("POST", "/v2/password/change", 204).json(object{"old_password": old, "new_password": fresh})
	p.g.password[p.name] = fresh
	p.logIn()
}

// mistakes are what honest people do wrong.
func (p *person) mistakes() {
	switch p.g.rnd.IntN(6) {
	case 0:
		body := p.parcelBody()
		body["weight_grams"] = 31_000 + p.g.rnd.IntN(9000)
		p.call("POST", "/v2/parcels", 422).json(body)
	case 1:
		p.call("POST", "/v2/cards", 422).json(object{"number": "4242424242424241", "holder": pick(p.g, people), "expiry": "05/29"})
	case 2:
		if p.asked > 0 && p.at-p.asked < time.Hour {
			return
		}
		p.asked = p.at
		p.call("POST", "/v2/wallet/coupons", 409).json(object{"code": "HARBOUR99"})
	case 3:
		p.call("GET", "/v2/parcels/999999", 404)
	case 4:
		p.call("POST", "/v2/password/forgot", 202).anonymous().json(object{"email": "somebody.else" + fmt.Sprint(p.g.rnd.IntN(99)) + "@post.example"})
	default:
		p.call("POST", "/v2/addresses", 422).json(object{"label": "Home", "line1": pick(p.g, streets), "city": pick(p.g, cities), "postcode": "?", "country": "DE"})
	}
}
