"""The look of the page: one measure of space, one family of type, colour for verdicts only."""

STYLE = """
:root{color-scheme:light dark;--ink:#1a212c;--quiet:#5b6675;--hair:#dce1e8;--wash:#f0f3f7;--paper:#fff;
--accent:#2f5fa8;--other:#c07a12;--met:#1b7a4b;--not-met:#b42318;--inconclusive:#8a5a00;--unknown:#66558c;
--waived:#8a5a00}
@media (prefers-color-scheme:dark){:root{--ink:#e8ebf0;--quiet:#9aa5b4;--hair:#323a46;--wash:#222933;--paper:#161b22;
--accent:#7aa7ea;--other:#e0a54a;--met:#58c48d;--not-met:#ff8a7d;--inconclusive:#e5b04f;--unknown:#b6a4e0;
--waived:#e5b04f}}
*{box-sizing:border-box}
html{background:var(--paper);color:var(--ink);-webkit-text-size-adjust:100%}
body{margin:0 auto;max-width:1200px;padding:36px 32px 64px;
font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","DejaVu Sans",sans-serif;overflow-wrap:break-word}
svg{max-width:100%;height:auto;display:block;font-family:inherit;print-color-adjust:exact;
-webkit-print-color-adjust:exact}
p{margin:0}
h1{font-size:32px;line-height:1.2;letter-spacing:-.02em;font-weight:680;margin:26px 0 0}
h2{font-size:22px;letter-spacing:-.01em;font-weight:650;margin:0 0 8px}
h3{font-size:14.5px;font-weight:650;margin:0 0 12px}
.brand{display:flex;justify-content:space-between;gap:24px;color:var(--quiet);font-size:13px;
padding-bottom:14px;border-bottom:1px solid var(--hair)}
.brand span:first-child{color:var(--ink);font-weight:700;letter-spacing:.02em}
.lead{font-size:19px;line-height:1.5;color:var(--ink);max-width:860px;margin-top:14px}
.verdict{margin-top:16px;display:flex;flex-wrap:wrap;gap:8px 10px}
.verdict .pill{font-size:16px;padding:4px 14px 4px 10px}
.mark{font-size:16px;font-weight:650;line-height:1.5;padding:5px 14px;border-radius:99px;background:var(--ink);
color:var(--paper);print-color-adjust:exact;-webkit-print-color-adjust:exact}
.notices{display:grid;grid-template-columns:minmax(0,1fr);gap:10px;margin-top:24px}
.notice{border:1px solid currentColor;border-left-width:6px;border-radius:8px;padding:12px 18px 12px 16px}
.notice p{display:flex;gap:10px;font-size:16px;line-height:1.45}.notice i{font-style:normal;font-weight:700}
.notice ul{color:var(--ink);margin:6px 0 0;padding:0 0 0 24px;font-size:14px}.notice li{padding:1px 0}
.facts{display:flex;flex-wrap:wrap;margin:26px 0 0;border:1px solid var(--hair);border-radius:10px;overflow:hidden}
.facts div{flex:1 1 30%;min-width:230px;padding:14px 18px;box-shadow:0 0 0 .5px var(--hair)}
.facts dt{color:var(--quiet);font-size:13px;line-height:1.35}
.facts dd{margin:2px 0 0;font-size:19px;font-weight:650;letter-spacing:-.01em;font-variant-numeric:tabular-nums;
line-height:1.35}
.facts small{display:block;margin-top:3px;font-size:12.5px;line-height:1.45;font-weight:400;letter-spacing:0;
color:var(--quiet)}
.facts small.digest{font:11px/1.45 ui-monospace,SFMono-Regular,Menlo,"DejaVu Sans Mono",monospace;word-break:break-all}
nav{display:flex;flex-wrap:wrap;gap:6px 24px;margin:24px 0 0;font-size:13.5px}
nav a{color:var(--accent);text-decoration:none}nav a:hover,nav a:focus-visible{text-decoration:underline}
section{margin-top:52px;scroll-margin-top:24px}
.note{color:var(--quiet);max-width:760px;margin-bottom:18px}
table{border-collapse:collapse;width:100%;font-size:14px;line-height:1.5;table-layout:fixed}
th{font-weight:600;text-align:left}
thead th{color:var(--quiet);font-size:12.5px;padding:0 14px 8px 0;border-bottom:1px solid var(--ink);
vertical-align:bottom}
td,tbody th{padding:13px 20px 13px 0;border-bottom:1px solid var(--hair);vertical-align:top}
td:last-child,th:last-child{padding-right:0}
td p{color:var(--quiet);margin-top:3px}
.count{color:var(--quiet);font-variant-numeric:tabular-nums;white-space:nowrap}
.where{white-space:nowrap;font-variant-numeric:tabular-nums}
.where p:first-child{margin-top:0;color:var(--ink)}
.faults th:nth-child(1){width:34px}.faults th:nth-child(2){width:33%}.faults th:nth-child(4){width:104px}
.faults th:nth-child(5){width:132px}.planted{font-size:13px;font-style:italic}
code{font:12.5px/1.5 ui-monospace,SFMono-Regular,Menlo,"DejaVu Sans Mono",monospace}
.next code,.commands code{display:inline-block;background:var(--wash);border-radius:5px;padding:3px 8px;margin-top:5px;
color:var(--ink);white-space:pre-wrap;overflow-wrap:anywhere}
.exact{color:var(--quiet);font-size:12px}
.bound{white-space:nowrap;font-weight:600;color:var(--accent)}
.numbers{font-variant-numeric:tabular-nums;color:var(--quiet);font-size:13px;line-height:1.5}
.numbers strong{color:var(--ink);font-size:15px}.numbers .entries{margin:0}
.id{font-size:12.5px;margin-top:6px}
.criteria th:nth-child(1){width:132px}.criteria th:nth-child(3){width:280px}.criteria th:nth-child(4){width:172px}
.criteria td:nth-child(3){padding-top:11px}
.reason{font-size:13.5px}td p.not-met{color:var(--not-met)}td p.inconclusive{color:var(--inconclusive)}
td p.unknown{color:var(--unknown)}td p.waived{color:var(--waived)}
.life td,.life tbody th{padding-top:9px;padding-bottom:9px}
.life td:nth-child(1){width:132px}.life tbody th{width:140px}.life td:nth-child(4){width:230px}
.rules tbody th{width:260px}.rules code{font-weight:600}
.entries{color:var(--quiet);font-size:12.5px;font-variant-numeric:tabular-nums;margin:0}
.life .entries{margin-top:1px}
.pill{display:inline-flex;align-items:center;gap:6px;font-size:12.5px;font-weight:650;line-height:1.5;
white-space:nowrap;
border:1px solid currentColor;border-radius:99px;padding:1px 10px 1px 7px;color:var(--quiet)}
.pill i{font-style:normal;font-size:.95em;line-height:1}
.met{color:var(--met)}.not-met{color:var(--not-met)}.inconclusive{color:var(--inconclusive)}
.unknown{color:var(--unknown)}.waived{color:var(--waived)}
.strip{overflow-x:auto;margin:20px 0 12px}.strip svg{width:100%}
.figures{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:22px;margin-top:18px}
figure{margin:0;padding:18px 20px;border:1px solid var(--hair);border-radius:10px;break-inside:avoid;
display:flex;flex-direction:column}
figure.wide{grid-column:1/-1}.plot{overflow-x:auto;margin:0 0 auto}.plot svg{margin:0 auto}
figcaption{color:var(--quiet);font-size:13.5px;line-height:1.5;margin-top:14px}
.glossary,.commands{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,320px),1fr));gap:20px 40px;
margin:18px 0 0}
.commands{grid-template-columns:repeat(auto-fill,minmax(min(100%,460px),1fr))}
dl dd{margin:4px 0 0}.glossary dt{font-weight:650;font-size:14px;min-height:24px}
.glossary dd,.commands dd{color:var(--quiet);font-size:14px}
footer{margin-top:60px;padding-top:16px;border-top:1px solid var(--hair);color:var(--quiet);font-size:13px}
@media screen and (max-width:900px) and (min-width:761px){
.criteria th:nth-child(3){width:210px}.rules tbody th{width:190px}
.life td:nth-child(4){width:150px}.figures{grid-template-columns:minmax(0,1fr)}}
@media screen and (max-width:760px){
body{padding:22px 16px 40px}h1{font-size:25px}h2{font-size:20px}.lead{font-size:17px}
.strip{display:none}.figures{grid-template-columns:minmax(0,1fr);gap:16px}figure{padding:14px 12px}
figure.wide svg{max-width:none}
table,tbody,tr,td,tbody th{display:block;width:auto!important}thead{display:none}
td,tbody th,.life td,.life tbody th{border:0;padding:3px 0}td:empty{display:none}
tr{border-bottom:1px solid var(--hair);padding:13px 0}.criteria .id{display:inline;margin-left:10px}
.where p{display:inline;margin-right:14px}.count{display:none}
.faults td:nth-child(5):before{content:"without it: ";color:var(--quiet);font-size:13px}}
@media print{:root{color-scheme:light;--ink:#000;--quiet:#444;--hair:#bbb;--wash:#eee;--paper:#fff;--accent:#1f4f98;
--other:#a86400;--met:#14633c;--not-met:#9c1c12;--inconclusive:#6e4800;--unknown:#523f7c;--waived:#6e4800}
body{max-width:none;padding:0;font-size:10.5px}h1{font-size:22px;margin-top:14px}h2{font-size:15px}h3{font-size:11px}
.lead{font-size:13px}nav{display:none}section{margin-top:22px}.verdict .pill,.mark{font-size:12px}
.notice p{font-size:11.5px}.notice ul,.glossary dt,.glossary dd,.commands dd{font-size:10px}
tr,figure,.notice,.facts div,.glossary div,.commands div{break-inside:avoid}h2,.note{break-after:avoid}
thead{display:table-header-group}.facts div{min-width:0;padding:8px 12px}.facts dd{font-size:12px}
.facts small{font-size:9px}.facts small.digest{font-size:7.5px}.facts{margin-top:14px}
thead th,.planted,.id,.facts dt,.brand,footer{font-size:9px}
table,code,.numbers,.reason,figcaption,.entries,.bound{font-size:9.5px}.exact{font-size:8px}
.numbers strong{font-size:11px}
.pill{font-size:9px}td,tbody th{padding:6px 10px 6px 0}.life td,.life tbody th{padding-top:4px;padding-bottom:4px}
.criteria th:nth-child(1),.life td:nth-child(1){width:102px}.criteria th:nth-child(3){width:190px}
.criteria th:nth-child(4){width:120px}.life tbody th{width:90px}.rules tbody th{width:170px}
.life td:nth-child(4){width:130px}.faults th:nth-child(4){width:64px}.faults th:nth-child(5){width:98px}
.strip,.plot{overflow:hidden}.figures{gap:12px}figure{padding:10px 12px}
.glossary{grid-template-columns:1fr 1fr;gap:8px 24px}
.commands{grid-template-columns:1fr 1fr}@page{size:A4;margin:15mm}}
"""
