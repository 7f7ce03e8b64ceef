package harbour

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"
)

const (
	customer = "customer"
	courier  = "courier"
	admin    = "admin"
)

// caller is who sends a request: an account with a session, or (client set) a
// program with an OAuth2 access token.
type caller struct {
	ID      int64
	Role    string
	Company int64
	JTI     string

	Client string
	Scopes []string
}

// call is one request on its way through a handler.
type call struct {
	w   http.ResponseWriter
	r   *http.Request
	id  string // request id, in every answer
	who caller
}

func (c *call) ctx() context.Context { return c.r.Context() }

type handler func(*Server, *call) error

// route is one operation: what it is called, who may call it, what it does.
type route struct {
	method, path string
	roles        []string // session roles that may call it
	scope        string   // or: the OAuth2 scope that it takes
	query        []string // the query parameters that it takes
	do           handler

	// ids of holes that, while open, skip the role check, the scope check or authentication.
	skipRole, skipScope, skipAuth string
}

func (rt route) public() bool { return len(rt.roles) == 0 && rt.scope == "" }

var (
	anyone    = []string{customer, courier, admin}
	customers = []string{customer}
	shippers  = []string{customer, admin}
	couriers  = []string{courier}
	admins    = []string{admin}
)

// table lists all operations. Those in openapi.yaml come first; the holes'
// own, which no document mentions, follow.
func (s *Server) table() []route {
	all := []route{
		{method: "GET", path: "/v2/health", do: (*Server).getHealth},

		{method: "POST", path: "/v2/register", do: (*Server).register},
		{method: "POST", path: "/v2/login", do: (*Server).login},
		{method: "POST", path: "/v2/logout", roles: anyone, do: (*Server).logout},
		{method: "POST", path: "/v2/session/refresh", roles: anyone, do: (*Server).refreshSession},
		{method: "POST", path: "/v2/password/forgot", do: (*Server).forgotPassword},
		{method: "POST", path: "/v2/password/reset", do: (*Server).resetPassword},
		{method: "POST", path: "/v2/password/change", roles: anyone, do: (*Server).changePassword},

		{method: "GET", path: "/v2/me", roles: anyone, do: (*Server).getMe},
		{method: "PATCH", path: "/v2/me", roles: anyone, do: (*Server).patchMe},
		{method: "GET", path: "/v2/me/events", roles: customers, do: (*Server).followParcels},
		{method: "GET", path: "/v2/company/members", roles: customers, do: (*Server).listMembers},
		{method: "GET", path: "/v2/wallet", roles: customers, do: (*Server).getWallet},
		{method: "POST", path: "/v2/wallet/payouts", roles: customers, do: (*Server).createPayout},
		{method: "POST", path: "/v2/wallet/coupons", roles: customers, do: (*Server).redeemCoupon},

		{method: "GET", path: "/v2/addresses", roles: customers, query: []string{"page", "page_size"}, do: (*Server).listAddresses},
		{method: "POST", path: "/v2/addresses", roles: customers, do: (*Server).createAddress},
		{method: "GET", path: "/v2/addresses/{address_id}", roles: customers, do: (*Server).getAddress},
		{method: "PUT", path: "/v2/addresses/{address_id}", roles: customers, do: (*Server).putAddress},
		{method: "DELETE", path: "/v2/addresses/{address_id}", roles: customers, do: (*Server).deleteAddress},

		{method: "GET", path: "/v2/parcels", roles: customers, query: []string{"page", "page_size", "status", "sort"}, do: (*Server).listParcels},
		{method: "POST", path: "/v2/parcels", roles: customers, do: (*Server).createParcel},
		{method: "POST", path: "/v2/parcels/batch", roles: customers, do: (*Server).batchParcels},
		{method: "POST", path: "/v2/parcels/search", roles: customers, do: (*Server).filterParcels},
		{method: "POST", path: "/v2/parcels/import", roles: customers, do: (*Server).importParcels},
		{method: "GET", path: "/v2/parcels/{parcel_id}", roles: anyone, query: []string{"expand"}, do: (*Server).getParcel},
		{method: "PATCH", path: "/v2/parcels/{parcel_id}", roles: customers, do: (*Server).patchParcel},
		{method: "DELETE", path: "/v2/parcels/{parcel_id}", roles: customers, do: (*Server).cancelParcel},
		{method: "POST", path: "/v2/parcels/{parcel_id}/payment", roles: customers, do: (*Server).payParcel},
		{method: "POST", path: "/v2/parcels/{parcel_id}/dispatch", roles: customers, do: (*Server).dispatchParcel},
		{method: "POST", path: "/v2/parcels/{parcel_id}/label", roles: customers, do: (*Server).renderLabel},
		{method: "POST", path: "/v2/parcels/{parcel_id}/share", roles: customers, do: (*Server).shareParcel},
		{method: "POST", path: "/v2/parcels/{parcel_id}/delivery", roles: couriers, do: (*Server).deliverParcel},
		{method: "GET", path: "/v2/parcels/{parcel_id}/notes", roles: shippers, do: (*Server).listNotes},
		{method: "POST", path: "/v2/parcels/{parcel_id}/notes", roles: shippers, do: (*Server).createNote},
		{method: "GET", path: "/v2/parcels/{parcel_id}/notes/{note_id}", roles: shippers, do: (*Server).getNote},
		{method: "GET", path: "/v2/search", roles: customers, query: []string{"q"}, do: (*Server).search},

		{method: "GET", path: "/v1/tracking/{tracking_code}", do: (*Server).trackV1},
		{method: "GET", path: "/v2/tracking/{tracking_code}", do: (*Server).track},
		{method: "GET", path: "/v2/shared", query: []string{"token"}, do: (*Server).getShared},

		{method: "GET", path: "/v2/courier/run", roles: couriers, query: []string{"courier_id"}, do: (*Server).getRun},
		{method: "POST", path: "/v2/courier/scans", roles: couriers, skipRole: "bfla-courier-scan", do: (*Server).scanParcels},

		{method: "GET", path: "/v2/depots", roles: anyone, do: (*Server).listDepots},
		{method: "GET", path: "/v2/depots/{depot_id}", roles: anyone, do: (*Server).getDepot},
		{method: "PATCH", path: "/v2/depots/{depot_id}", roles: admins, do: (*Server).patchDepot},

		{method: "GET", path: "/v2/invoices", roles: shippers, query: []string{"page", "page_size", "company_id"}, do: (*Server).listInvoices},
		{method: "GET", path: "/v2/invoices/{invoice_id}", roles: shippers, do: (*Server).getInvoice},
		{method: "POST", path: "/v2/invoices/{invoice_id}/payment", roles: customers, do: (*Server).payInvoice},
		{method: "GET", path: "/v2/payments/return", query: []string{"next"}, do: (*Server).paymentReturn},
		{method: "GET", path: "/v2/cards", roles: customers, do: (*Server).listCards},
		{method: "POST", path: "/v2/cards", roles: customers, do: (*Server).createCard},
		{method: "DELETE", path: "/v2/cards/{card_id}", roles: customers, do: (*Server).deleteCard},

		{method: "GET", path: "/v2/uploads", roles: anyone, query: []string{"page", "page_size"}, do: (*Server).listUploads},
		{method: "POST", path: "/v2/uploads", roles: anyone, do: (*Server).createUpload},
		{method: "GET", path: "/v2/uploads/{upload_id}/content", roles: anyone, skipAuth: "missing-auth-upload", do: (*Server).getUploadContent},
		{method: "GET", path: "/v2/label-templates", roles: anyone, query: []string{"name"}, do: (*Server).getLabelTemplate},
		{method: "POST", path: "/v2/messages/preview", roles: shippers, do: (*Server).previewMessage},

		{method: "GET", path: "/v2/webhooks", roles: customers, do: (*Server).listWebhooks},
		{method: "POST", path: "/v2/webhooks", roles: customers, do: (*Server).createWebhook},
		{method: "DELETE", path: "/v2/webhooks/{webhook_id}", roles: customers, do: (*Server).deleteWebhook},
		{method: "POST", path: "/v2/webhooks/{webhook_id}/test", roles: customers, do: (*Server).testWebhook},
		{method: "POST", path: "/v2/quotes", roles: customers, do: (*Server).createQuote},

		{method: "GET", path: "/v2/export/parcels", scope: "parcels:export", query: []string{"page", "page_size", "status"}, do: (*Server).exportParcels},
		{method: "GET", path: "/v2/export/invoices", scope: "invoices:export", skipScope: "bfla-scope-ignored", query: []string{"page", "page_size"}, do: (*Server).exportInvoices},
		{method: "GET", path: "/v2/partner/depots/{depot_id}/manifest", scope: "depots:read", query: []string{"page", "page_size"}, do: (*Server).getManifest},
		{method: "POST", path: "/v2/partner/scans", scope: "scans:write", do: (*Server).partnerScans},
		{method: "PUT", path: "/v2/partner/rates/{country}", scope: "rates:write", do: (*Server).putRate},

		{method: "GET", path: "/v2/admin/users", roles: admins, skipRole: "bfla-admin-users", query: []string{"page", "page_size", "role"}, do: (*Server).adminUsers},
		{method: "GET", path: "/v2/admin/users/{user_id}", roles: admins, do: (*Server).adminUser},
		{method: "PATCH", path: "/v2/admin/users/{user_id}", roles: admins, do: (*Server).adminPatchUser},
		{method: "POST", path: "/v2/admin/users/{user_id}/credit", roles: admins, skipRole: "bfla-admin-credit", do: (*Server).adminCredit},
		{method: "POST", path: "/v2/admin/coupons", roles: admins, do: (*Server).adminCoupon},
		{method: "PUT", path: "/v2/admin/parcels/{parcel_id}/assignment", roles: admins, do: (*Server).adminAssign},
		{method: "GET", path: "/v2/admin/audit", roles: admins, query: []string{"page", "page_size"}, do: (*Server).adminAudit},
		{method: "GET", path: "/v2/admin/stats", roles: admins, do: (*Server).adminStats},
	}
	if s.open("bfla-method-swap") {
		// PUT was added later and nobody gave it PATCH's role check.
		all = append(all, route{method: "PUT", path: "/v2/depots/{depot_id}", roles: anyone, do: (*Server).patchDepot})
	}
	if s.open("v1-shadow-parcels") {
		// Version 1 was taken out of the document and left on the server, ownership check and all missing.
		all = append(all, route{method: "GET", path: "/v1/parcels/{parcel_id}", roles: anyone, do: (*Server).getParcelV1})
	}
	if s.open("debug-endpoint") {
		all = append(all, route{method: "GET", path: "/debug/config", do: (*Server).debugConfig})
	}
	return all
}

func (s *Server) newMux() *http.ServeMux {
	mux := http.NewServeMux()
	for _, rt := range s.routes {
		mux.HandleFunc(rt.method+" "+rt.path, func(w http.ResponseWriter, r *http.Request) {
			s.serve(w, r, rt)
		})
	}
	return mux
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	id := uuid.UUID(s.random(16)).String()
	h.Set("X-Request-Id", id)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	s.allowOrigin(w, r)
	if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	_, pattern := s.mux.Handler(r)
	if pattern == "" {
		s.fail(&call{w: w, r: r, id: id}, s.unrouted(r))
		return
	}
	s.mux.ServeHTTP(w, r)
}

// appOrigin is Harbour's own web page, the only origin that browsers may call from.
const appOrigin = "https://app.harbour.example"

func (s *Server) allowOrigin(w http.ResponseWriter, r *http.Request) {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	if s.open("cors-any-origin") {
		// Every origin is reflected, with credentials: any page may use the visitor's session.
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Allow-Credentials", "true")
	} else if origin == appOrigin {
		h.Set("Access-Control-Allow-Origin", appOrigin)
	} else {
		return
	}
	h.Set("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE")
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
}

// unrouted tells a wrong method from a wrong path.
func (s *Server) unrouted(r *http.Request) error {
	for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := s.mux.Handler(other); pattern != "" {
			return problem(http.StatusMethodNotAllowed, "method_not_allowed", "This resource does not take "+r.Method+".")
		}
	}
	return notFound("resource")
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request, rt route) {
	c := &call{w: w, r: r, id: w.Header().Get("X-Request-Id")}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	err := s.authorize(c, rt)
	if err == nil {
		err = c.checkQuery(rt.query)
	}
	if err == nil {
		do := rt.do
		if s.open("bfla-method-override") {
			// The header picks another handler after the first one's role check has passed.
			do = s.overridden(r, rt)
		}
		err = do(s, c)
	}
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			err = problem(http.StatusRequestEntityTooLarge, "too_large", "The request body is too large.")
		}
		s.fail(c, err)
	}
}

func (s *Server) overridden(r *http.Request, rt route) handler {
	method := strings.ToUpper(r.Header.Get("X-HTTP-Method-Override"))
	for _, other := range s.routes {
		if other.method == method && other.path == rt.path {
			return other.do
		}
	}
	return rt.do
}

// authorize finds out who calls and whether the route is for them.
func (s *Server) authorize(c *call, rt route) error {
	if rt.public() || rt.skipAuth != "" && s.open(rt.skipAuth) {
		return nil
	}
	token, ok := strings.CutPrefix(c.r.Header.Get("Authorization"), "Bearer ")
	if !ok || token == "" {
		return unauthenticated()
	}
	var err error
	if rt.scope != "" {
		c.who, err = s.partnerCaller(c.ctx(), token)
		if err != nil {
			return err
		}
		if rt.skipScope != "" && s.open(rt.skipScope) {
			return nil
		}
		if !slices.Contains(c.who.Scopes, rt.scope) {
			return problem(http.StatusForbidden, "insufficient_scope", "The access token lacks the scope "+rt.scope+".")
		}
		return nil
	}
	c.who, err = s.sessionCaller(c.ctx(), token)
	if err != nil {
		return err
	}
	if rt.skipRole != "" && s.open(rt.skipRole) {
		return nil
	}
	if !slices.Contains(rt.roles, c.who.Role) {
		return forbidden()
	}
	return nil
}
