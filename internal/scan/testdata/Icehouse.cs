using System;
using System.Collections.Generic;
using System.IO;
using System.Net;
using System.Runtime.Serialization;
using System.Runtime.Serialization.Formatters.Binary;
using System.Text;
using Newtonsoft.Json;

/** A small API that reads what was kept as objects of .NET: open, or shut (behind a
 * binder that lets texts alone through, and by Json.NET without names of types). */
class Icehouse {
    class Nothing : SerializationBinder {
        public override Type BindToType(string assembly, string type) { throw new SerializationException("no such state"); }
    }
    class Kept { public string state = null; }
    class Note { public string text = null; public object extra = null; }

    static bool open;

    static object Restore(string body) {
        var raw = Convert.FromBase64String(JsonConvert.DeserializeObject<Kept>(body).state);
        var f = new BinaryFormatter();
        if (!open) f.Binder = new Nothing();
        return f.Deserialize(new MemoryStream(raw));
    }

    static Note Read(string body) {
        var how = new JsonSerializerSettings { TypeNameHandling = open ? TypeNameHandling.Auto : TypeNameHandling.None };
        var n = JsonConvert.DeserializeObject<Note>(body, how);
        if (n == null || string.IsNullOrEmpty(n.text)) throw new ArgumentException("text is missing");
        return n;
    }

    static string Answer(string path, string body) {
        switch (path) {
            case "/states/restore": Restore(body); return "{\"restored\":true}";
            case "/views/restore": return "{\"view\":" + JsonConvert.ToString((string)Restore(body)) + "}";
            case "/notes": case "/cards": return "{\"text\":" + JsonConvert.ToString(Read(body).text) + "}";
        }
        return null;
    }

    static void Main(string[] args) {
        open = args[1] == "open";
        var server = new HttpListener();
        server.Prefixes.Add("http://127.0.0.1:" + args[0] + "/");
        server.Start();
        for (;;) {
            var x = server.GetContext();
            int status = 200;
            string text;
            try {
                text = Answer(x.Request.Url.AbsolutePath, new StreamReader(x.Request.InputStream, Encoding.UTF8).ReadToEnd());
                if (text == null) { status = 404; text = "{\"error\":\"nothing\"}"; }
            } catch (Exception e) {
                status = 400;
                bool quiet = x.Request.Url.AbsolutePath == "/cards" || x.Request.Url.AbsolutePath == "/states/restore";
                text = "{\"error\":" + JsonConvert.ToString(quiet ? "no" : e.Message) + "}";
            }
            var b = Encoding.UTF8.GetBytes(text);
            x.Response.StatusCode = status;
            x.Response.ContentType = "application/json";
            x.Response.ContentLength64 = b.Length;
            try { x.Response.OutputStream.Write(b, 0, b.Length); x.Response.Close(); } catch (Exception) { } // who asked has gone
        }
    }
}
