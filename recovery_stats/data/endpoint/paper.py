"""The papers that the definitions come from."""

from __future__ import annotations

from recovery_stats.data.endpoint.entry import Paper

COMER_2006 = Paper("Comer et al., 2006", "10.1001/archpsyc.63.2.210")
CTN_0094 = Paper("CTN-0094 (public.ctn0094data)")
EISSENBERG_1997 = Paper("Eissenberg et al., 1997", "10.1001/jama.1997.03540480045037")
FIELLIN_2006 = Paper("Fiellin et al., 2006", "10.1056/nejmoa055255")
FUDALA_2003 = Paper("Fudala et al., 2003", "10.1056/nejmoa022164")
HAIGHT_2019 = Paper("Haight et al., 2019", "10.1016/S0140-6736(18)32259-1")
JAFFE_1972 = Paper("Jaffe et al., 1972", "10.1001/jama.1972.03210040013004")
JOHNSON_1992 = Paper("Johnson, Jaffe, & Fudala, 1992", "10.1001/jama.1992.03480200058024")
KOSTEN_1993 = Paper("Kosten et al., 1993", "10.1097/00005053-199306000-00004")
KRUPITSKY_2004 = Paper(
    "Krupitsky et al., 2004; also Krupitsky et al., 2006 (10.1016/j.jsat.2006.05.005)",
    "10.1016/j.jsat.2004.02.002",
)
KRUPITSKY_2011 = Paper("Krupitsky et al., 2011", "10.1016/S0140-6736(11)60358-9")
LEE_2016 = Paper("Lee et al., 2016", "10.1056/nejmoa1505409")
LEE_2018 = Paper("Lee et al., 2018 (CTN-0051)", "10.1016/S0140-6736(17)32812-X")
LING_1976 = Paper("Ling, Charuvastra, Kaim, & Klett, 1976", "10.1001/archpsyc.1976.01770060043007")
LING_1998 = Paper("Ling et al., 1998", "10.1046/j.1360-0443.1998.9344753.x")
LING_2010 = Paper("Ling et al., 2010", "10.1001/jama.2010.1427")
LOFWALL_2018 = Paper("Lofwall et al., 2018", "10.1001/jamainternmed.2018.1052")
MATTICK_2003 = Paper("Mattick et al., 2003", "10.1046/j.1360-0443.2003.00335.x")
MOKRI_2016 = Paper("Mokri, Chawarski, Taherinakhost, & Schottenfeld, 2016", "10.1111/add.13259")
PANI_2000 = Paper(
    "Pani, Maremmani, Pirastu, Tagliamonte, & Gessa, 2000", "10.1016/s0376-8716(99)00140-4"
)
PETITJEAN_2001 = Paper("Petitjean et al., 2001", "10.1016/S0376-8716(00)00163-0")
PRESTON_2000 = Paper("Preston, Umbricht, & Epstein, 2000", "10.1001/archpsyc.57.4.395")
SCHOTTENFELD_2005 = Paper("Schottenfeld et al., 2005", "10.1176/appi.ajp.162.2.340")
SCHOTTENFELD_2008 = Paper(
    "Schottenfeld, Chawarski, & Mazlan, 2008", "10.1016/S0140-6736(08)60954-X"
)
SCHWARTZ_2006 = Paper("Schwartz et al., 2006", "10.1001/archpsyc.63.1.102")
SHUFMAN_1994 = Paper("Shufman et al., 1994", "10.1016/0006-3223(94)91240-8")
SOYKA_2008 = Paper("Soyka, Zingg, Koller, & Kuefner, 2008", "10.1017/S146114570700836X")
STRAIN_1993 = Paper(
    "Strain, Stitzer, Liebson, & Bigelow, 1993", "10.7326/0003-4819-119-1-199307010-00004"
)
STRAIN_1994 = Paper("Strain, Stitzer, Liebson, & Bigelow, 1994", "10.1176/ajp.151.7.1025")
STRAIN_1996 = Paper("Strain, Stitzer, Liebson, & Bigelow, 1996", "10.1097/00004714-199602000-00010")
STRAIN_1999 = Paper("Strain, Bigelow, Liebson, & Stitzer, 1999", "10.1001/jama.281.11.1000")
STRANG_2010 = Paper("Strang et al., 2010", "10.1016/S0140-6736(10)60349-2")
STRANG_2019 = Paper("Strang et al., 2019", "10.3310/hta23030")
TANUM_2017 = Paper("Tanum et al., 2017", "10.1001/jamapsychiatry.2017.3206")
WEISS_2011 = Paper("Weiss et al., 2011 (CTN-0030)", "10.1001/archgenpsychiatry.2011.121")
WOLSTEIN_2009 = Paper("Wolstein et al., 2009", "10.1055/s-0028-1083818")
WOODY_2008 = Paper("Woody et al., 2008", "10.1001/jama.2008.574")
ZAKS_1972 = Paper("Zaks, Fink, & Freedman, 1972", "10.1001/jama.1972.03200060039005")
